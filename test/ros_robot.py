# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A node in a process of its own, and a robot's side of the conversation with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_world import (
    FRAME,
    calibration,
    header,
    image_message,
    render,
)
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import Empty
from tf2_msgs.msg import TFMessage

from mast3r_ros import srv
from mast3r_ros.messages import conversions
from mast3r_ros.msg import RelocalizationStatus
from mast3r_ros.ros.executor import Executor

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PATIENCE = 30.0


class Robot:
    """Starts `relocalizer` with parameters, talks to it, and remembers what it said."""

    def __init__(
        self, name: str, wait: bool = True, program: str = "", image: str = "image", **parameters
    ) -> None:
        """Start and wait until it is there.

        Args:
            name: the namespace of both.
            wait: until the node listens, if it starts by itself.
            program: Python to run in place of the node's module.
            image: the topic of the images.
            parameters: the node's.
        """
        parameters = {
            "front_end": "sift",
            "tf_mode": "none",
            "reliability": "reliable",
        } | parameters
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [
            sys.executable,
            *(("-c", program) if program else ("-m", "mast3r_ros.ros.node")),
            "--ros-args",
            "-r",
            f"__ns:=/{name}",
            "-r",
            f"image:={image}",
        ]
        for key, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ["-p", f"{key}:={text}" if text else f"{key}:=''"]
        self.process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        self.name = name
        self.received: dict[str, list] = {}
        self._changed = threading.Condition()
        self._clients: dict = {}
        self.clock = 100.0
        self.context = rclpy.Context()
        self.context.init()
        self.node = rclpy.create_node("robot", namespace=name, context=self.context)
        # The node's: a test, too, may destroy a publisher while this executor waits.
        self._executor = Executor(2, context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        make = self.node.create_publisher
        self.images = make(Image, image, 10)
        self.jpegs = make(CompressedImage, "image/compressed", 10)
        self.calibrations = make(CameraInfo, "camera_info", 10)
        self.initial_poses = make(PoseWithCovarianceStamped, "initialpose", 10)
        self.tf = make(TFMessage, "/tf", 100)
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.tf_static = make(TFMessage, "/tf_static", latched)
        self.depths = None
        self.listen("status", RelocalizationStatus, "relocalizer/status", LATCHED)
        self.listen("pose", PoseWithCovarianceStamped, "pose")
        self._thread.start()
        try:
            if wait and parameters.get("autostart", True):
                self.wait(lambda: self.received["status"], "the first status")
                self.wait(
                    lambda: (
                        self.images.get_subscription_count() or self.jpegs.get_subscription_count()
                    ),
                    "the node to listen",
                )
                self.wait(self.calibrations.get_subscription_count, "the node to listen")
        except BaseException:
            self.close()
            raise

    def close(self) -> str:
        """End the node as Ctrl-C does; returns what it logged."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._executor.shutdown()
            self._thread.join()
            self.node.destroy_node()
            self.context.try_shutdown()
        return self.log()

    def finish(self) -> None:
        """End the node, which has met no error of its own."""
        log = self.close()
        assert self.process.returncode == 0, log
        assert "Traceback" not in log, log

    def log(self) -> str:
        """What the node has logged so far."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace")

    def listen(self, key: str, kind: type, topic: str, qos=10):
        """Remember what comes on a topic."""
        self.received[key] = []

        def take(message) -> None:
            with self._changed:
                self.received[key].append(message)
                self._changed.notify_all()

        return self.node.create_subscription(kind, topic, take, qos)

    def wait(self, condition, what: str):
        """Until a condition holds; returns it."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while not (value := condition()):
                if self.process.poll() is not None:
                    raise AssertionError(f"the node ended, waiting for {what}:\n{self.log()}")
                if time.monotonic() > deadline:
                    raise AssertionError(f"no {what}:\n{self.log()}")
                self._changed.wait(0.05)
        return value

    def call(self, kind: type, name: str, **request):
        """Call a service of the node, by its name from the namespace."""
        future = self.call_async(kind, name, **request)
        return self.wait(lambda: future.done() and future.result(), f"answer of {name}")

    def call_async(self, kind: type, name: str, **request):
        """As `call`, the future."""
        if name not in self._clients:
            self._clients[name] = self.node.create_client(kind, name)
        client = self._clients[name]
        self.wait(client.service_is_ready, f"service {name}")
        return client.call_async(kind.Request(**request))

    @staticmethod
    def deliver(publisher, message) -> None:
        """Publish what images need, and wait until the node has it.

        Discovery goes both ways: what is sent before the node knows this publisher is repeated by
        DDS, up to seconds after images that were sent later.
        """
        publisher.publish(message)
        publisher.wait_for_all_acked(Duration(seconds=PATIENCE))

    def tick(self, seconds: float = 0.1) -> float:
        """The next stamp [s]."""
        self.clock += seconds
        return self.clock

    def send(self, message, info: CameraInfo | None = None) -> RelocalizationStatus:
        """Send an image, after its calibration, and wait for the status of that stamp."""
        stamp = message.header.stamp
        before = len(self.received["status"])
        info = info or calibration(conversions.to_nanoseconds(stamp) / 1e9)
        self.deliver(self.calibrations, info)
        publisher = self.jpegs if isinstance(message, CompressedImage) else self.images
        publisher.publish(message)
        return self.wait(
            lambda: next(
                (s for s in self.received["status"][before:] if s.header.stamp == stamp), None
            ),
            f"status of stamp {stamp}",
        )

    def look(self, pose: np.ndarray) -> RelocalizationStatus:
        """Send the image from a pose."""
        return self.send(image_message(render(pose)[0], self.tick()))

    def send_depth(self, message: Image | CompressedImage) -> None:
        """Send a depth image."""
        if self.depths is None:
            topic = "depth" if isinstance(message, Image) else "depth/compressedDepth"
            self.depths = self.node.create_publisher(type(message), topic, 10)
            self.wait(self.depths.get_subscription_count, "the node to listen to depth")
        self.deliver(self.depths, message)

    def add(
        self, pose: np.ndarray, depth: bool = True, success: bool = True, **request
    ) -> srv.AddKeyframe.Response:
        """Add the view from a pose to the map, which succeeds or not."""
        image, z = render(pose)
        stamp = self.tick()
        if depth:
            self.send_depth(image_message(z, stamp, "32FC1"))
        self.send(image_message(image, stamp))
        request = {"pose": conversions.from_pose(pose)} | request
        answer = self.call(srv.AddKeyframe, "relocalizer/add_keyframe", **request)
        assert answer.success == success, answer.message
        return answer

    def clear(self) -> None:
        """Empty the map, and forget where the camera was."""
        assert self.call(srv.ClearMap, "relocalizer/clear_map").success
        self.call(Empty, "reinitialize_global_localization")

    def send_tf(self, parent: str, child: str, pose: np.ndarray, stamp: float, static=False):
        """Send a transform."""
        message = TransformStamped(child_frame_id=child, transform=conversions.to_transform(pose))
        message.header = header(stamp)
        message.header.frame_id = parent
        self.deliver(self.tf_static if static else self.tf, TFMessage(transforms=[message]))


__all__ = ["FRAME", "LATCHED", "PATIENCE", "Path", "Robot"]
