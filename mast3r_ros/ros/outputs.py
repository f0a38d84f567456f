# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What goes out, computed only where somebody listens."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from mast3r_ros.frame import Frame
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.map_odom import Belief
from mast3r_ros.localization.result import Localization
from mast3r_ros.messages import conversions
from mast3r_ros.msg import Correspondences, RelativePose, RelocalizationStatus
from mast3r_ros.ros import answers, pictures
from mast3r_ros.ros.host import Host

_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# One message a keyframe, for one image.
_BURST = 20


class Outputs:
    """The node's publishers."""

    def __init__(self, node: Host) -> None:
        """Advertise everything."""
        self._node = node
        publisher = node.create_publisher
        self._pose = publisher(PoseWithCovarianceStamped, "pose", 10)
        self._filtered = publisher(PoseWithCovarianceStamped, "filtered_pose", 10)
        self._status = publisher(RelocalizationStatus, "~/status", _LATCHED)
        self._relative = publisher(RelativePose, "~/relative_pose", _BURST)
        self._correspondences = publisher(Correspondences, "~/correspondences", _BURST)
        self._matches_image = publisher(Image, "~/matches_image", 1)
        self._points = publisher(PointCloud2, "~/points", 1)
        self._keyframes = publisher(MarkerArray, "~/keyframes", _LATCHED)
        self._drawn: tuple[Any, ...] = ()

    def publish_pose(self, pose: PoseWithCovarianceStamped) -> None:
        """Publish the pose of a localized image."""
        self._pose.publish(pose)

    def publish_filtered(self, belief: Belief, stamp: int) -> None:
        """Publish the robot's pose by the filter, at the stamp [ns] of the odometry in it."""
        header = Header(stamp=conversions.to_stamp(stamp), frame_id=self._node.options.map_frame)
        pose = answers.pose_with_covariance(belief.pose, belief.covariance)
        self._filtered.publish(PoseWithCovarianceStamped(header=header, pose=pose))

    def publish_status(self, status: RelocalizationStatus) -> None:
        """Publish, for now and for those who come later."""
        self._status.publish(status)

    def publish_details(
        self, frame: Frame, answer: Localization, keyframes: KeyframeMap, camera: str, drawn: bool
    ) -> None:
        """What each keyframe said of one camera's image.

        Args:
            frame: the image.
            answer: its part of it: the pose of its camera, and its matches.
            keyframes: the map.
            camera: its name in a rig, else empty.
            drawn: whether to publish pictures of it, too.
        """
        if _heard(self._relative):
            for match in answer.matches:
                if match.pose is not None:
                    keyframe = keyframes[match.keyframe_id]
                    told = answers.relative_pose(match, keyframe, frame.stamp, camera)
                    self._relative.publish(told)
        if _heard(self._correspondences):
            for match in answer.matches:
                keyframe = keyframes[match.keyframe_id]
                told = answers.correspondences(match, keyframe, frame, camera)
                self._correspondences.publish(told)
        if not drawn:
            return
        if _heard(self._matches_image) and answer.matches:
            best = answer.matches[0]
            picture = pictures.matches_image(best, keyframes[best.keyframe_id], frame)
            self._matches_image.publish(picture)
        if _heard(self._points) and answer.localized:
            self._points.publish(pictures.points(answer, keyframes, frame))

    def publish_keyframes(self, keyframes: KeyframeMap) -> None:
        """Draw the map where it, or who looks at it, has changed since it was drawn last."""
        listeners = self._keyframes.get_subscription_count()
        now = (listeners, id(keyframes), keyframes.changes)
        if listeners and now != self._drawn:
            stamp = self._node.get_clock().now().to_msg()
            markers = pictures.keyframe_markers(keyframes, self._node.options.map_frame, stamp)
            self._keyframes.publish(markers)
        self._drawn = now


def _heard(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count())
