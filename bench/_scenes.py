# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Maps of rendered scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.localization.options import RelocalizerOptions
    from mast3r_ros.training.worlds.ambiguous import Scene


def add_keyframes(keyframes: KeyframeMap, scene: Scene) -> None:
    """Map a scene, with its depth."""
    from mast3r_ros.frame import Frame

    for view in scene.keyframes:
        keyframes.add(Frame(view.image, view.camera, depth=view.depth), view.pose)


def exact() -> RelocalizerOptions:
    """Options for a map whose poses and depth are exact, and a global shutter."""
    from mast3r_ros.localization.options import RelocalizerOptions

    return RelocalizerOptions(
        keyframe_position_sigma=0.0,
        keyframe_rotation_sigma=0.0,
        depth_noise=0.0,
        rolling_shutter=0.0,
    )
