# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bags of the textured wall, made of messages of rosbags."""

import shutil

import cv2
import numpy as np
from evaluation_world import CAMERA, POSES, view
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from mast3r_ros.datasets import SourceOptions
from mast3r_ros.datasets import bag as bags
from mast3r_ros.geometry import transforms

TYPES = get_typestore(Stores.ROS2_HUMBLE)
# Long enough that what TF forgets after a while would be forgotten. Nothing is at 0: no time.
STEP = 3_000_000_000


def Bag(path, image_topic=None, depth_topic=None, pose_topic=None, camera_file=None, **more):
    """Images with a known pose."""
    options = SourceOptions(
        image_topic=image_topic,
        depth_topic=depth_topic,
        pose_topic=pose_topic,
        camera=camera_file,
        **more,
    )
    return bags.Bag(path, options)


def make(kind, **fields):
    return TYPES.types[kind](**fields)


def header(stamp, frame_id="lens"):
    time = make("builtin_interfaces/msg/Time", sec=stamp // 10**9, nanosec=stamp % 10**9)
    return make("std_msgs/msg/Header", stamp=time, frame_id=frame_id)


def image(pixels, encoding, stamp, frame_id="lens"):
    return make(
        "sensor_msgs/msg/Image",
        header=header(stamp, frame_id),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=pixels[0].nbytes,
        data=np.frombuffer(np.ascontiguousarray(pixels).tobytes(), np.uint8),
    )


def compressed(pixels, stamp):
    data = cv2.imencode(".png", pixels[..., ::-1])[1]
    return make(
        "sensor_msgs/msg/CompressedImage", header=header(stamp), format="png", data=data.ravel()
    )


def camera_info(camera, stamp, frame_id="lens", p=None):
    region = make(
        "sensor_msgs/msg/RegionOfInterest",
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False,
    )  # fmt: skip
    return make(
        "sensor_msgs/msg/CameraInfo",
        header=header(stamp, frame_id),
        height=camera.height,
        width=camera.width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=camera.matrix.ravel(),
        r=np.eye(3).ravel(),
        p=np.zeros(12) if p is None else p,
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def _parts(pose):
    (x, y, z), (qx, qy, qz, qw) = (part.tolist() for part in transforms.to_quaternion(pose))
    quaternion = make("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw)
    return {"x": x, "y": y, "z": z}, quaternion


def pose_message(pose):
    position, orientation = _parts(pose)
    return make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", **position),
        orientation=orientation,
    )


def tf(parent, child, pose, stamp):
    translation, rotation = _parts(pose)
    transform = make(
        "geometry_msgs/msg/Transform",
        translation=make("geometry_msgs/msg/Vector3", **translation),
        rotation=rotation,
    )
    stamped = make(
        "geometry_msgs/msg/TransformStamped",
        header=header(stamp, parent),
        child_frame_id=child,
        transform=transform,
    )
    return make("tf2_msgs/msg/TFMessage", transforms=[stamped])


def odometry(pose, stamp, frame_id="odom", child_frame_id="base"):
    covariance = np.zeros(36)
    zero = make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
    twist = make("geometry_msgs/msg/Twist", linear=zero, angular=zero)
    return make(
        "nav_msgs/msg/Odometry",
        header=header(stamp, frame_id),
        child_frame_id=child_frame_id,
        pose=make(
            "geometry_msgs/msg/PoseWithCovariance", pose=pose_message(pose), covariance=covariance
        ),
        twist=make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=covariance),
    )


def write(path, messages, storage=StoragePlugin.MCAP):
    """Messages as (topic, type, time, message)."""
    shutil.rmtree(path, ignore_errors=True)
    with Writer(path, version=9, storage_plugin=storage) as writer:
        connections = {}
        for topic, kind, time, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=TYPES)
            writer.write(connections[topic], time, TYPES.serialize_cdr(message, kind))
    return path


def frames(count=4, topic="/camera/image_raw", with_depth=True, with_camera=True):
    """Images with what belongs to them, but no poses."""
    for i in range(count):
        stamp = (i + 1) * STEP
        frame = view(POSES[i])
        if with_camera:
            message = camera_info(CAMERA, stamp)
            yield "/camera/camera_info", "sensor_msgs/msg/CameraInfo", stamp, message
        yield topic, "sensor_msgs/msg/Image", stamp, image(frame.image, "rgb8", stamp)
        if with_depth:
            depth = np.rint(frame.depth * 1000).astype(np.uint16)
            late = stamp + 5_000_000
            yield "/depth", "sensor_msgs/msg/Image", late, image(depth, "16UC1", late)


def truth(count=4, frame_id="map"):
    for i in range(count):
        message = make(
            "geometry_msgs/msg/PoseStamped",
            header=header((i + 1) * STEP, frame_id),
            pose=pose_message(POSES[i]),
        )
        yield "/truth", "geometry_msgs/msg/PoseStamped", (i + 1) * STEP, message


def tf_messages(topic, *entries):
    return [(topic, "tf2_msgs/msg/TFMessage", e[3], tf(*e)) for e in entries]
