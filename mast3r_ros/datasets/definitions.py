# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The package's own messages in bags that are written without ROS: the fields of msg/*.msg.

A test compares them with the files.
"""

from __future__ import annotations

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

STAGE_LATENCY = "mast3r_ros/msg/StageLatency"
STATUS = "mast3r_ros/msg/RelocalizationStatus"
RELATIVE_POSE = "mast3r_ros/msg/RelativePose"
FIELDS = {
    STAGE_LATENCY: "string stage\nfloat64 seconds\n",
    STATUS: """uint8 STATE_WAITING = 0
uint8 STATE_LOCALIZED = 1
uint8 STATE_DIRECTION_ONLY = 2
uint8 STATE_NOT_LOCALIZED = 3
uint8 STATE_NO_MAP = 4
uint8 STATE_BAD_INPUT = 5
uint8 STATE_ERROR = 6
std_msgs/Header header
string[] cameras
string[] silent_cameras
uint8 state
string reason
StageLatency[] latency
float64 total_seconds
uint64 frames_seen
uint64 frames_dropped
uint64 frames_localized
uint32 map_keyframes
uint32[] keyframe_ids
uint32 inliers
float32 confidence
float64 protection_position
float64 protection_rotation
string front_end
string engine
bool intrinsics_estimated
uint8 FILTER_OFF = 0
uint8 FILTER_INITIALIZING = 1
uint8 FILTER_LOCALIZED = 2
uint8 FILTER_DEAD_RECKONING = 3
uint8 FILTER_LOST = 4
uint8 filter_state
float64 distance_since_fix
float64 seconds_since_fix
float64 predicted_scale
float64 predicted_scale_sigma
""",
    RELATIVE_POSE: """std_msgs/Header header
string camera
uint32 keyframe_id
builtin_interfaces/Time keyframe_stamp
geometry_msgs/PoseWithCovariance pose
bool metric
float32 confidence
uint32 matches
uint32 inliers
""",
}


def types() -> Typestore:
    """ROS' messages and the package's own."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in FIELDS.items():
        store.register(get_types_from_msg(text, name))
    return store
