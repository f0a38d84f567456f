# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What to do about what tf2 reports."""

from __future__ import annotations

# tf2's own texts say what is missing, not what to do about it.
_HINTS = (
    (
        "into the future",
        "the transform arrives later than the image: raise `tf_timeout`, and check that "
        "all clocks agree",
    ),
    (
        "into the past",
        "the image is older than the transforms kept: check that all clocks agree, and "
        "use_sim_time with a bag",
    ),
    (
        "does not exist",
        "nothing publishes this frame: check `odom_frame`, `base_frame` and the image's frame_id "
        "(ros2 run tf2_tools view_frames)",
    ),
    (
        "not part of the same tree",
        "a transform between the two is missing (ros2 run tf2_tools view_frames)",
    ),
)


def with_hint(text: str) -> str:
    """A text of tf2, and what to do about it."""
    return next((f"{text}; {hint}" for part, hint in _HINTS if part in text), text)
