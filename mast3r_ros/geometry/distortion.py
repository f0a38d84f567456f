# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Names and coefficients of lens distortion, as drivers, simulators and tools write them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from mast3r_ros.common.errors import UserError

STANDARD, RATIONAL, FISHEYE = "plumb_bob", "rational_polynomial", "equidistant"
# Numbers of coefficients that OpenCV's standard model takes: (k1 k2 p1 p2, k3, k4 k5 k6,
# s1 s2 s3 s4, tauX tauY).
_LENGTHS = (0, 4, 5, 8, 12, 14)
_FISHEYE_LENGTH = 4
# By the name in lower case with `_` between its words.
_ALIASES = {
    "plumb_bob": STANDARD,
    "radtan": STANDARD,
    "radial_tangential": STANDARD,
    "brown_conrady": STANDARD,
    "opencv": STANDARD,
    "rational_polynomial": RATIONAL,
    "thin_prism": RATIONAL,
    "tilted": RATIONAL,
    "full_opencv": RATIONAL,
    "equidistant": FISHEYE,
    "fisheye": FISHEYE,
    "opencv_fisheye": FISHEYE,
    "kannala_brandt": FISHEYE,
    "kannala_brandt4": FISHEYE,
}
# What may come with these names is zeros: there is no distortion, or one that OpenCV does not know.
_WITHOUT = ("none", "pinhole", "perspective", "inverse_brown_conrady", "modified_brown_conrady")


class CameraError(UserError, ValueError):
    """Intrinsics that describe no camera."""


def canonical(model: str, coefficients: Sequence[float]) -> tuple[str, tuple[float, ...]]:
    """The model's ROS name and its coefficients in OpenCV's order, empty for a pinhole.

    A fisheye has four coefficients always: with zeros it still is one (r = f * theta).

    Raises:
        CameraError: the model is not known, or has another number of coefficients.
    """
    name = re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_")
    values = tuple(coefficients)
    if not all(map(math.isfinite, values)):
        raise CameraError(f"distortion coefficients {values}: all must be finite")
    if not name:
        name = STANDARD
    if name in _WITHOUT:
        if any(values):
            raise CameraError(
                f"distortion model '{model}' with coefficients {values}: OpenCV has no such model; "
                "calibrate the camera for 'plumb_bob', or rectify its images"
            )
        return STANDARD, ()
    known = _ALIASES.get(name)
    if known is None:
        names = ", ".join([*_ALIASES, *_WITHOUT])
        raise CameraError(f"distortion model '{model}': known are {names}")
    if known == FISHEYE:
        if any(values[_FISHEYE_LENGTH:]) or (len(values) < _FISHEYE_LENGTH and any(values)):
            raise CameraError(f"{len(values)} coefficients for '{model}': expected 4")
        return FISHEYE, values[:_FISHEYE_LENGTH] if values else (0.0,) * _FISHEYE_LENGTH
    needed = max((i + 1 for i, value in enumerate(values) if value), default=0)
    length = min((n for n in _LENGTHS if n >= needed), default=None)
    if length is None or length > len(values):
        raise CameraError(
            f"{len(values)} coefficients for '{model}': expected one of {_LENGTHS}, or zeros behind"
        )
    return (STANDARD if length <= 5 else RATIONAL), values[:length]
