# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A `Localization` as messages."""

from __future__ import annotations

import array
from collections.abc import Iterable, Mapping

import numpy as np
from geometry_msgs.msg import PoseWithCovariance, PoseWithCovarianceStamped
from numpy.typing import NDArray
from std_msgs.msg import Header

from mast3r_ros.frame import Frame
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.localization.map_odom import FilterState
from mast3r_ros.localization.result import KeyframeMatch, Localization, Reason
from mast3r_ros.messages import conversions
from mast3r_ros.msg import Correspondences, RelativePose, RelocalizationStatus, StageLatency

_STATES = {
    Reason.LOCALIZED: RelocalizationStatus.STATE_LOCALIZED,
    Reason.DIRECTION_ONLY: RelocalizationStatus.STATE_DIRECTION_ONLY,
    Reason.EMPTY_MAP: RelocalizationStatus.STATE_NO_MAP,
    Reason.NO_CAMERA: RelocalizationStatus.STATE_BAD_INPUT,
}


def state_of(reason: Reason) -> int:
    """The STATE_* of a reason."""
    return _STATES.get(reason, RelocalizationStatus.STATE_NOT_LOCALIZED)


_FILTER_STATES = {
    None: RelocalizationStatus.FILTER_OFF,
    FilterState.INITIALIZING: RelocalizationStatus.FILTER_INITIALIZING,
    FilterState.LOCALIZED: RelocalizationStatus.FILTER_LOCALIZED,
    FilterState.DEAD_RECKONING: RelocalizationStatus.FILTER_DEAD_RECKONING,
    FilterState.LOST: RelocalizationStatus.FILTER_LOST,
}


def filter_state_of(state: FilterState | None) -> int:
    """The FILTER_* of the filter's state."""
    return _FILTER_STATES[state]


def pose_with_covariance(pose: Pose, covariance: NDArray[np.float64] | None) -> PoseWithCovariance:
    """A pose; its covariance is zero where it is not known."""
    values = np.zeros(36) if covariance is None else covariance.ravel()
    return PoseWithCovariance(pose=conversions.from_pose(pose), covariance=values)


def map_pose(answer: Localization, stamp: int, map_frame: str) -> PoseWithCovarianceStamped:
    """The pose of the camera in the map."""
    assert answer.pose is not None
    header = Header(stamp=conversions.to_stamp(stamp), frame_id=map_frame)
    return PoseWithCovarianceStamped(
        header=header, pose=pose_with_covariance(answer.pose, answer.covariance)
    )


def relative_pose(
    match: KeyframeMatch, keyframe: Keyframe, stamp: int, camera: str
) -> RelativePose:
    """The pose of the query camera, of a name, in one keyframe's camera."""
    assert match.pose is not None
    return RelativePose(
        header=Header(stamp=conversions.to_stamp(stamp), frame_id=f"keyframe_{keyframe.id}"),
        camera=camera,
        keyframe_id=keyframe.id,
        keyframe_stamp=conversions.to_stamp(keyframe.stamp),
        pose=pose_with_covariance(match.pose, match.covariance),
        metric=match.metric,
        confidence=match.confidence,
        matches=len(match.correspondences),
        inliers=int(match.inliers.sum()),
    )


def correspondences(
    match: KeyframeMatch, keyframe: Keyframe, frame: Frame, camera: str
) -> Correspondences:
    """All matches of the query, of a camera of a name, with one keyframe."""
    found = match.correspondences
    message = Correspondences(
        header=Header(stamp=conversions.to_stamp(frame.stamp), frame_id=frame.frame_id),
        camera=camera,
        keyframe_id=keyframe.id,
        keyframe_stamp=conversions.to_stamp(keyframe.stamp),
        reference_width=keyframe.size[0],
        reference_height=keyframe.size[1],
        query_width=frame.size[0],
        query_height=frame.size[1],
        metric=found.metric,
    )
    # Arrays of the array module are taken as they are; rclpy looks at each element of any other.
    for name in ("reference_pixels", "query_pixels", "reference_points", "confidence"):
        setattr(message, name, array.array("f", np.float32(getattr(found, name)).tobytes()))
    message.inlier = array.array("B", match.inliers.tobytes())
    return message


def latencies(timings: Mapping[str, float]) -> Iterable[StageLatency]:
    """Wall time by stage."""
    return [StageLatency(stage=stage, seconds=seconds) for stage, seconds in timings.items()]
