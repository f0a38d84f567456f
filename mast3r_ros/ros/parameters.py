# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: declared, read, and written down, all from the dataclasses of options."""

from __future__ import annotations

from dataclasses import Field, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from mast3r_ros import frontends
from mast3r_ros.common.options import check, option
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.localization.options import RelocalizerOptions

Options = TypeVar("Options")


@dataclass(frozen=True)
class NodeOptions:
    """What the node adds to `RelocalizerOptions`: where things come from and where they go."""

    autostart: bool = option(
        True, "Configure and activate at start, with no lifecycle manager", read_only=True
    )
    front_end: str = option(
        "xfeat",
        "What describes and matches images; a map fits only the one that made it",
        choices=frontends.NAMES,
        read_only=True,
    )
    map: str = option(
        "", "Folder of the map to load when configured; empty: begin with an empty map"
    )
    image_transport: str = option(
        "raw",
        "Listen to `image` or to `image/compressed`",
        choices=("raw", "compressed"),
        read_only=True,
    )
    reliability: str = option(
        "best_effort",
        "Quality of service of the image, depth and camera_info subscriptions",
        choices=("best_effort", "reliable"),
        read_only=True,
    )
    rectified: bool = option(
        False,
        "Images are rectified: use P of camera_info without distortion, in place of K and D",
    )
    camera_frame: str = option(
        "", "The camera's optical frame; empty: the frame_id of each image", read_only=True
    )
    map_frame: str = option("map", "Frame of the map and of all poses", read_only=True)
    odom_frame: str = option(
        "odom",
        "Frame that `map_odom` corrects, and in which odometry places the robot",
        read_only=True,
    )
    base_frame: str = option(
        "base_link", "The robot's frame, of which `initialpose` speaks", read_only=True
    )
    tf_mode: str = option(
        "map_odom",
        "map_odom: publish map -> odom, for robots with odometry; map_camera: map -> camera frame, "
        "once for each answer; none: topics alone",
        choices=("map_odom", "map_camera", "none"),
        read_only=True,
    )
    tf_rate: float = option(
        20.0, "How often map -> odom is sent again [Hz]", 0.1, 1000.0, read_only=True
    )
    transform_tolerance: float = option(
        0.1,
        "How far ahead of now map -> odom is dated, so that none need wait for it [s]",
        0.0,
        10.0,
    )
    tf_timeout: float = option(0.1, "How long to wait for TF at an image's stamp [s]", 0.0, 10.0)
    gate_distance: float = option(
        0.5, "TF makes a larger jump only after `gate_confirmations` answers agree [m]", 0.0, 1e3
    )
    gate_angle: float = option(0.35, "The same for orientation [rad]", 0.0, 3.2)
    gate_confirmations: int = option(
        3, "Consecutive answers that must agree before TF makes a jump, or begins", 1, 100
    )
    prior_timeout: float = option(
        30.0, "How long `initialpose` steers the search, unless an answer comes first [s]", 0.0, 1e6
    )
    depth_tolerance: float = option(
        0.02, "Largest difference between the stamps of an image and its depth [s]", 0.0, 10.0
    )
    depth_timeout: float = option(
        1.0, "How long `add_keyframe` waits for depth, where somebody publishes it [s]", 0.0, 60.0
    )
    service_timeout: float = option(
        10.0, "How long a service waits for an image, unless asked otherwise [s]", 0.1, 3600.0
    )
    max_megapixels: float = option(
        24.0, "Refuse larger images, before they are decoded [million pixels]", 0.01, 1000.0
    )

    def __post_init__(self) -> None:
        check(self)


SECTIONS: tuple[type, ...] = (NodeOptions, RelocalizerOptions, Mast3rOptions)


def declare(node: Any) -> None:
    """Declare every option as a parameter, with its description, limits and default."""
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    for section in SECTIONS:
        for entry in fields(section):
            about = entry.metadata
            descriptor = ParameterDescriptor(
                description=about["text"], read_only=about["read_only"]
            )
            if about["choices"]:
                descriptor.additional_constraints = "One of: " + ", ".join(about["choices"])
            if about["minimum"] is not None:
                kind, name = (
                    (IntegerRange, "integer_range")
                    if isinstance(entry.default, int)
                    else (FloatingPointRange, "floating_point_range")
                )
                value = kind(from_value=about["minimum"], to_value=about["maximum"])
                setattr(descriptor, name, [value])
            node.declare_parameter(entry.name, entry.default, descriptor)


def read(node: Any, section: type[Options]) -> Options:
    """The options as the parameters now stand.

    Raises:
        ValueError: names the parameter, its value and what it may be.
    """
    entries = fields(section)  # type: ignore[arg-type]
    return section(**{e.name: node.get_parameter(e.name).value for e in entries})


def changed(options: Options, parameters: list[Any]) -> Options:
    """Options after some parameters are set; those that are not theirs are passed over.

    Raises:
        ValueError: as `read`.
    """
    known = {e.name for e in fields(options)}  # type: ignore[arg-type]
    return replace(options, **{p.name: p.value for p in parameters if p.name in known})  # type: ignore[type-var]


def as_yaml() -> str:
    """The text of config/relocalizer.yaml."""
    lines = [
        "# Copyright 2026 the mast3r_ros developers",
        "# SPDX-License-Identifier: Apache-2.0",
        "#",
        "# Every parameter of the node `relocalizer`, with its default. Written by",
        "# `python3 -m mast3r_ros.ros.parameters`: copy this file and change the copy.",
        "/**:",
        "  ros__parameters:",
    ]
    for section in SECTIONS:
        for entry in fields(section):
            limits = _limits(entry)
            lines.append(f"    # {entry.metadata['text']}{f' ({limits})' if limits else ''}")
            lines.append(f"    {entry.name}: {_literal(entry.default)}")
    return "\n".join(lines) + "\n"


def as_table() -> str:
    """The table in docs/parameters.md."""
    lines = ["| parameter | default | limits | meaning |", "|---|---|---|---|"]
    for section in SECTIONS:
        for entry in fields(section):
            about = entry.metadata
            fixed = " Fixed while the node runs." if about["read_only"] else ""
            lines.append(
                f"| `{entry.name}` | `{_literal(entry.default)}` | {_limits(entry)} "
                f"| {about['text']}.{fixed} |"
            )
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _limits(entry: Field) -> str:
    about = entry.metadata
    if about["choices"]:
        return ", ".join(about["choices"])
    return "" if about["minimum"] is None else f"{about['minimum']:g} to {about['maximum']:g}"


_BEGIN, _END = "<!-- parameters: begin -->\n", "<!-- parameters: end -->\n"


def documents(root: Path) -> dict[Path, str]:
    """What the files that speak of parameters ought to hold."""
    page = root / "docs" / "parameters.md"
    before, rest = page.read_text().split(_BEGIN)
    after = rest.split(_END)[1]
    return {
        root / "config" / "relocalizer.yaml": as_yaml(),
        page: f"{before}{_BEGIN}{as_table()}{_END}{after}",
    }


def write(root: Path) -> None:
    """Write those files."""
    for path, text in documents(root).items():
        path.write_text(text)


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[2])
