# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Dataclasses of options as options of a command: the one way from one to the other."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer
from rich.markup import escape

from mast3r_ros.common.paths import expand
from mast3r_ros.localization.options import RelocalizerOptions

# No robot waits for the answer: a second look takes the time that it needs, so that results do not
# depend on what else the machine does.
OFFLINE = RelocalizerOptions(second_look=60.0)
_METAVARS = {int: "N", float: "X", str: "TEXT", Path: "PATH", tuple[float, float]: "X X"}


def with_options(**panels: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace parameters of a command that are dataclasses by one option for each of their fields.

    The command gets the dataclasses. A value that one of them refuses is a usage error. A parameter
    with a default gives its fields their defaults.

    Args:
        panels: the heading of the options in the help, by the name of the parameter.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        parameters = signature.parameters.values()
        groups: dict[str, Any] = {
            p.name: p.annotation for p in parameters if is_dataclass(p.annotation)
        }

        def run(**given: Any) -> None:
            for name, kind in groups.items():
                chosen = {f.name: given.pop(f.name) for f in fields(kind)}
                try:
                    given[name] = kind(**chosen)
                except ValueError as error:
                    raise typer.BadParameter(str(error)) from error
            command(**given)

        expanded: list[inspect.Parameter] = []
        for parameter in parameters:
            if parameter.name in groups:
                expanded += _parameters(parameter, panels.get(parameter.name))
            else:
                expanded.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        run.__signature__ = signature.replace(parameters=expanded)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in expanded}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


def with_paths_expanded(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose paths have `~` and environment variables replaced: `--out=~/map`, too."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(**{name: _expanded(value) for name, value in given.items()})

    return run


def _expanded(value: Any) -> Any:
    if isinstance(value, Path):
        return expand(value)
    return [_expanded(each) for each in value] if isinstance(value, list) else value


def text(words: str) -> str:
    """A help text that rich prints as it is: brackets hold units, not markup."""
    return escape(words)


def front_ends(default: str) -> Any:
    """The option of verbs that compare front ends.

    Args:
        default: what is taken without it, for the help.
    """
    names = "sift, xfeat, mast3r or mast3r=CHECKPOINT; several to compare them"
    return typer.Option(metavar="NAME", help=text(f"{names}; {default}."))


def _parameters(options: inspect.Parameter, panel: str | None) -> list[inspect.Parameter]:
    """One parameter for each field of a dataclass of options."""
    hints = get_type_hints(options.annotation)
    given = None if options.default is options.empty else options.default
    return [
        inspect.Parameter(
            entry.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=entry.default if given is None else getattr(given, entry.name),
            annotation=Annotated[hints[entry.name], _option(entry, hints[entry.name], panel)],
        )
        for entry in fields(options.annotation)
    ]


def _option(entry: Field[Any], hint: Any, panel: str | None) -> Any:
    assert entry.default is not MISSING, f"option {entry.name} has no default"
    name = "--" + entry.name.replace("_", "-")
    switch = f"{name}/--no-{name[2:]}" if entry.default is True else name
    kind = next(a for a in get_args(hint) if a is not type(None)) if _optional(hint) else hint
    about: dict[str, Any] = {"help": text(_help(entry)), "rich_help_panel": panel}
    if kind is not bool:
        about["metavar"] = entry.metadata.get("metavar") or _METAVARS.get(kind)
    return typer.Option(switch, **about)


def _help(entry: Field[Any]) -> str:
    """The description of an option with its limits."""
    words, low, high = (entry.metadata.get(key) for key in ("text", "minimum", "maximum"))
    if high is None and not low:
        return str(words)
    if high is None:
        return f"{words} (at least {low:g})"
    return f"{words} (at most {high:g})" if low is None else f"{words} ({low:g} to {high:g})"


def _optional(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)


Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|auto",
        help=text("Work on a Ray cluster; auto takes or starts that of this machine."),
    ),
]
Workers = Annotated[
    int,
    typer.Option(metavar="N", min=0, help=text("Processes with --ray; 0: one per GPU or core.")),
]
