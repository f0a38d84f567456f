# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Front ends: what a keyframe keeps of an image, and how two such things are matched."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from mast3r_ros.frontends.base import FrontEnd, FrontEndError
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.frontends.options import SiftOptions, XfeatOptions

# Where each one lives: imported when asked for, so that `sift` runs without torch.
_FRONT_ENDS = {
    "mast3r": ("mast3r_ros.frontends.mast3r.frontend", "Mast3rFrontEnd"),
    "sift": ("mast3r_ros.frontends.sift", "SiftFrontEnd"),
    "xfeat": ("mast3r_ros.frontends.xfeat", "XFeatFrontEnd"),
}
NAMES = tuple(_FRONT_ENDS)
# Baselines to compare with: for `evaluate` and `benchmark`, not for a robot.
_BASELINES = {"loftr": ("mast3r_ros.frontends.loftr", "LoftrFrontEnd")}
# The options of a front end, which its constructor takes as `options`. A node declares them as
# parameters with the front end's name before theirs: `mast3r.engine`.
OPTIONS: dict[str, type] = {"mast3r": Mast3rOptions, "sift": SiftOptions, "xfeat": XfeatOptions}
_GROUP = "mast3r_ros.front_ends"


def names() -> tuple[str, ...]:
    """Those of this package, then those that other packages registered."""
    others = {entry.name for entry in entry_points(group=_GROUP)}
    return (*NAMES, *_BASELINES, *sorted(others - {*NAMES, *_BASELINES}))


def create(name: str, options: Any = None, **arguments: Any) -> FrontEnd:
    """A front end by its name, with what its constructor takes beside its options.

    `options` are of its own kind: `SiftOptions`, `XfeatOptions`, `Mast3rOptions`.
    `mast3r=CHECKPOINT` is short for the front end `mast3r` with that one of its options.

    Another package adds a front end, a class of the contract `FrontEnd`, by an entry point of the
    group `mast3r_ros.front_ends`. It cannot take the name of one of this package.

    Raises:
        FrontEndError: there is none of that name, or it cannot run here; says what to install.
    """
    name, _, checkpoint = name.partition("=")
    if checkpoint:
        if name != "mast3r":
            raise FrontEndError(f"front end '{name}={checkpoint}': only mast3r takes a checkpoint")
        options = replace(options or Mast3rOptions(), checkpoint=checkpoint)
    front_end: FrontEnd = _kind(name)(options, **arguments)
    return front_end


def _kind(name: str) -> Any:
    """The class of a front end."""
    known = {**_FRONT_ENDS, **_BASELINES}
    if name in known:
        module, kind = known[name]
        return getattr(import_module(module), kind)
    for entry in entry_points(group=_GROUP):
        if entry.name == name:
            try:
                return entry.load()
            except (ImportError, AttributeError) as error:
                raise FrontEndError(
                    f"front end '{name}' of another package, {entry.value}, cannot be imported "
                    f"({error}): reinstall that package"
                ) from error
    raise FrontEndError(f"no front end '{name}': choose one of {', '.join(names())}")
