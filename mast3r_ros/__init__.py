# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Relocalizes camera images in meters against a few keyframes, with an honest covariance."""

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

# The generated messages (mast3r_ros.msg, mast3r_ros.srv) are installed apart from a source
# checkout: with this, both are one package.
__path__ = pkgutil.extend_path(__path__, __name__)

if TYPE_CHECKING:
    from mast3r_ros.frame import Frame
    from mast3r_ros.frontends import create as create_front_end
    from mast3r_ros.geometry.camera import Camera
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.keyframes.retrieval import PosePrior
    from mast3r_ros.localization.options import RelocalizerOptions
    from mast3r_ros.localization.relocalizer import Relocalizer
    from mast3r_ros.localization.result import Localization, Reason
    from mast3r_ros.localization.view import View
    from mast3r_ros.localization.window import Window, WindowOptions

# The public face, loaded when asked for: the command line and the messages do not wait for OpenCV.
_HOMES = {
    "Camera": "geometry.camera",
    "Frame": "frame",
    "KeyframeMap": "keyframes.keyframe_map",
    "Localization": "localization.result",
    "PosePrior": "keyframes.retrieval",
    "Reason": "localization.result",
    "Relocalizer": "localization.relocalizer",
    "RelocalizerOptions": "localization.options",
    "View": "localization.view",
    "Window": "localization.window",
    "WindowOptions": "localization.window",
    "create_front_end": "frontends",
}

__all__ = [
    "Camera",
    "Frame",
    "KeyframeMap",
    "Localization",
    "PosePrior",
    "Reason",
    "Relocalizer",
    "RelocalizerOptions",
    "View",
    "Window",
    "WindowOptions",
    "create_front_end",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    home = import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(home, "create" if name == "create_front_end" else name)
