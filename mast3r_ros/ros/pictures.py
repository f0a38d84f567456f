# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What people look at: matches drawn over two images, points, and the keyframes in the map."""

from __future__ import annotations

import array

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from mast3r_ros.drawing.matches import draw_matches
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.pixels import PixelTransform
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe import Keyframe, decode_thumbnail
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.result import KeyframeMatch, Localization
from mast3r_ros.messages import conversions, images

_FRUSTUM = 0.15  # [m]


def matches_image(match: KeyframeMatch, keyframe: Keyframe, frame: Frame) -> Image:
    """Keyframe on the left, query on the right, and what of them matches."""
    left = decode_thumbnail(keyframe.thumbnail)
    found = match.correspondences
    to_thumbnail = PixelTransform.resize(keyframe.size, (left.shape[1], left.shape[0]))
    picture = draw_matches(
        left,
        frame.image,
        to_thumbnail.apply(found.reference_pixels),
        found.query_pixels,
        match.inliers,
        left.shape[0],
    )
    header = Header(stamp=conversions.to_stamp(frame.stamp), frame_id=frame.frame_id)
    return images.from_rgb(picture, header)


def points(answer: Localization, keyframes: KeyframeMap, frame: Frame) -> PointCloud2:
    """The points that the pose rests on, in the camera's frame, colored by the query.

    Viewers take float32 alone: in a map of UTM coordinates its steps are half a meter. Near the
    camera's own origin they are micrometers, and TF places the cloud in the map.
    """
    assert answer.pose is not None
    camera_map = transforms.inverse(answer.pose)
    places, pixels = [np.empty((0, 3))], [np.empty((0, 2), np.float32)]
    for match in answer.matches:
        found, pose = match.correspondences, keyframes[match.keyframe_id].pose
        # Some matches agree by their rays alone.
        chosen = match.inliers & np.isfinite(found.reference_points).all(1)
        places.append(transforms.apply(camera_map @ pose, found.reference_points[chosen]))
        pixels.append(found.query_pixels[chosen])
    xyz = np.concatenate(places).astype("<f4")
    columns, rows = np.rint(np.concatenate(pixels)).astype(int).T
    red, green, blue = (
        frame.image[np.clip(rows, 0, frame.size[1] - 1), np.clip(columns, 0, frame.size[0] - 1)]
        .astype("<u4")
        .T
    )
    packed = np.empty(len(xyz), [("xyz", "<f4", 3), ("rgb", "<u4")])
    packed["xyz"], packed["rgb"] = xyz, red << 16 | green << 8 | blue
    message = PointCloud2(
        header=Header(stamp=conversions.to_stamp(frame.stamp), frame_id=frame.frame_id),
        height=1,
        width=len(packed),
        fields=[
            PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, name in enumerate(("x", "y", "z", "rgb"))
        ],
        point_step=16,
        row_step=16 * len(packed),
        is_dense=True,
    )
    message.data = array.array("B", packed.tobytes())
    return message


def keyframe_markers(keyframes: KeyframeMap, map_frame: str, stamp: Time) -> MarkerArray:
    """A pyramid and a number for each keyframe."""
    header = Header(stamp=stamp, frame_id=map_frame)
    pyramids = Marker(header=header, ns="keyframes", type=Marker.LINE_LIST)
    pyramids.scale.x = 0.005
    pyramids.pose.orientation.w = 1.0
    pyramids.color = ColorRGBA(r=0.2, g=0.6, b=1.0, a=1.0)
    markers = [Marker(header=header, action=Marker.DELETEALL), pyramids]
    for keyframe in keyframes:
        corners = transforms.apply(keyframe.pose, _pyramid(keyframe))
        pyramids.points += [Point(x=x, y=y, z=z) for x, y, z in corners.tolist()]
        label = Marker(header=header, ns="ids", id=keyframe.id, type=Marker.TEXT_VIEW_FACING)
        label.pose = conversions.from_pose(keyframe.pose)
        label.scale = Vector3(z=_FRUSTUM / 2)
        label.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
        label.text = str(keyframe.id)
        markers.append(label)
    return MarkerArray(markers=markers)


def _pyramid(keyframe: Keyframe) -> NDArray[np.float64]:
    """(16, 3) ends of eight lines: the view's edges, and its frame."""
    width, height = keyframe.size
    focal = keyframe.camera.fx if keyframe.camera else float(width)
    x, y = width / focal / 2, height / focal / 2
    corners = _FRUSTUM * np.array([[-x, -y, 1], [x, -y, 1], [x, y, 1], [-x, y, 1]])
    edges: list[Pose] = []
    for i, corner in enumerate(corners):
        edges += [np.zeros(3), corner, corner, corners[(i + 1) % 4]]
    return np.array(edges)
