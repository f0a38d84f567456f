# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: declared, read and changed, all from the dataclasses of options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, fields, replace
from typing import Any, TypeVar

from mast3r_ros import frontends
from mast3r_ros.common.errors import UserError
from mast3r_ros.common.paths import expand
from mast3r_ros.localization.map_odom import FilterOptions
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.window import WindowOptions
from mast3r_ros.ros.options import NodeOptions

Options = TypeVar("Options")

# Their matches carry no points of the query.
_WITHOUT_QUERY_POINTS = ("sift", "xfeat")


class OptionsError(UserError, ValueError):
    """Options that do not go together."""


@dataclass(frozen=True)
class Section:
    """A dataclass of options, and the namespace of its parameters: `mast3r.`, or none."""

    namespace: str
    options: type

    def entries(self) -> Iterator[tuple[str, Field]]:
        """Each parameter's name and the field that it sets."""
        for entry in fields(self.options):
            yield f"{self.namespace}{entry.name}", entry

    def fixed(self, entry: Field) -> bool:
        """Whether it is read when the node is configured, as all options in a namespace are."""
        return bool(self.namespace) or entry.metadata["fixed"]


SECTIONS: tuple[Section, ...] = (
    Section("", NodeOptions),
    Section("", RelocalizerOptions),
    Section("window.", WindowOptions),
    Section("filter.", FilterOptions),
    *(Section(f"{name}.", options) for name, options in frontends.OPTIONS.items()),
)
# The parameters that are read when the node is configured.
FIXED = frozenset(
    name for section in SECTIONS for name, entry in section.entries() if section.fixed(entry)
)


def declare(node: Any) -> None:
    """Declare every option as a parameter, with its description, limits and default."""
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    for section in SECTIONS:
        for name, entry in section.entries():
            about = entry.metadata
            descriptor = ParameterDescriptor(
                description=about["text"], read_only=about["read_only"]
            )
            constraints = []
            if about["choices"]:
                constraints.append("One of: " + ", ".join(about["choices"]))
            if section.fixed(entry):
                constraints.append("Can be set only while the node is unconfigured")
            descriptor.additional_constraints = ". ".join(constraints)
            if about["minimum"] is not None:
                kind, limits = (
                    (IntegerRange, "integer_range")
                    if isinstance(entry.default, int)
                    else (FloatingPointRange, "floating_point_range")
                )
                value = kind(from_value=about["minimum"], to_value=about["maximum"])
                setattr(descriptor, limits, [value])
            node.declare_parameter(name, entry.default, descriptor)


def read(node: Any, options: type[Options]) -> Options:
    """The options of one dataclass as the parameters now stand.

    Raises:
        ValueError: names the parameter, its value and what it may be.
    """
    section = _section_of(options)
    values = {entry.name: node.get_parameter(name).value for name, entry in section.entries()}
    values = _expanded(section, values)
    return _checked(section, lambda: options(**values))


def changed(options: Options, parameters: list[Any]) -> Options:
    """Options after some parameters are set; parameters of other sections are ignored.

    Raises:
        ValueError: as `read`.
    """
    section = _section_of(type(options))
    known = {name: entry.name for name, entry in section.entries()}
    values = _expanded(section, {known[p.name]: p.value for p in parameters if p.name in known})
    return _checked(section, lambda: replace(options, **values))  # type: ignore[type-var]


def require_consistent(options: NodeOptions, relocalizer: RelocalizerOptions) -> None:
    """Check what holds between options.

    Raises:
        OptionsError: says which do not go together, and what to choose.
    """
    if relocalizer.pose_method == "procrustes" and options.front_end in _WITHOUT_QUERY_POINTS:
        raise OptionsError(
            "pose_method = 'procrustes': needs the query's points, which front end "
            f"'{options.front_end}' does not have; choose front_end mast3r, or "
            "pose_method pnp or essential"
        )


def _section_of(options: type) -> Section:
    return next(section for section in SECTIONS if section.options is options)


def _expanded(section: Section, values: dict[str, Any]) -> dict[str, Any]:
    paths = {entry.name for _, entry in section.entries() if entry.metadata["path"]}
    return {k: str(expand(v)) if k in paths and v else v for k, v in values.items()}


def _checked(section: Section, make: Any) -> Any:
    try:
        return make()
    except ValueError as error:
        raise ValueError(f"{section.namespace}{error}") from error
