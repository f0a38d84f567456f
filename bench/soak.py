# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Ten hours of a robot by its clock, in minutes: two nodes, restarts, and changes of parameters.

Two front ends of one robot take the same images of one camera; the first publishes map -> odom for
an odometry that drifts. /clock and all stamps advance by `36000 / images` seconds an image. While
images come, the nodes take turns in being deactivated, cleaned up, configured and activated, and
parameters are set: some that must be taken, and some that must be refused.
"""

from __future__ import annotations

import argparse
import array
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.node import DISTANCE, FOCAL, HEIGHT, WIDTH, Footprint, footprint, texture

_SIMULATED, _BEGIN = 36_000.0, 1000.0  # [s]
_DRIFT = 1e-4  # of the odometry [m/s]
_FRONT_ENDS = ("sift", "xfeat")
_RESTART_EVERY, _SET_EVERY = 20, 3
_LARGEST_ERROR = 0.02  # [m]
_OFFSETS = tuple(range(100, 160, 2))  # of the images in the wall's picture [pixels]
# Name, value, and whether it must be taken.
_CHANGES: tuple[tuple[str, float | int | str, bool], ...] = (
    ("num_candidates", 3, True),
    ("gate_distance", 0.25, True),
    ("num_candidates", 5, True),
    ("num_candidates", 0, False),
    ("front_end", "mast3r", False),
    ("gate_distance", 0.5, True),
    ("tf_timeout", -1.0, False),
)


@dataclass
class Side:
    """One node, and what was seen of it.

    Attributes:
        errors: of the poses [m].
        footprints: (simulated hours, what the process holds).
        expected, answered, localized: images while it was active.
        restarts: through all four transitions.
        taken, refused, wrong: changes of parameters, and those that ended otherwise than they must.
        last_answer: to an image, on the monotonic clock [s].
    """

    name: str
    process: subprocess.Popen
    statuses: dict[int, Any] = field(default_factory=dict)
    errors: list[float] = field(default_factory=list)
    footprints: list[tuple[float, Footprint]] = field(default_factory=list)
    expected: int = 0
    answered: int = 0
    localized: int = 0
    restarts: int = 0
    last_answer: float = 0.0
    taken: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    active: bool = True


def _position(index: int) -> float:
    """Of the camera along the wall [m], by the number of its image."""
    return (_OFFSETS[index % len(_OFFSETS)] - _OFFSETS[0]) * DISTANCE / FOCAL


def _picture(wall: np.ndarray, index: int) -> np.ndarray:
    x = _OFFSETS[index % len(_OFFSETS)]
    return np.ascontiguousarray(wall[100 : 100 + HEIGHT, x : x + WIDTH])


def _save_map(front_end: str, wall: np.ndarray, folder: Path) -> None:
    from mast3r_ros import Camera, Frame, KeyframeMap, create_front_end

    keyframes = KeyframeMap(create_front_end(front_end))
    camera = Camera(WIDTH, HEIGHT, FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2)
    depth = np.full((HEIGHT, WIDTH), DISTANCE, np.float32)
    for index in (0, 10, 20):
        pose = np.eye(4)
        pose[0, 3] = _position(index)
        keyframes.add(Frame(_picture(wall, index), camera, depth=depth), pose)
    keyframes.save(folder)


class Soak:
    """The robot's side."""

    def __init__(self, images: int, folder: Path) -> None:
        import rclpy
        from geometry_msgs.msg import PoseWithCovarianceStamped
        from lifecycle_msgs.srv import ChangeState
        from rcl_interfaces.srv import SetParameters
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from rosgraph_msgs.msg import Clock
        from sensor_msgs.msg import CameraInfo, Image
        from tf2_msgs.msg import TFMessage

        from mast3r_ros.msg import RelocalizationStatus

        wall = texture()
        for front_end in _FRONT_ENDS:
            _save_map(front_end, wall, folder / front_end)
        self.count, self.step, self.now = images, _SIMULATED / images, _BEGIN
        self._pictures = [
            array.array("B", _picture(wall, i).tobytes()) for i in range(len(_OFFSETS))
        ]
        self.sides = {name: Side(name, _start(name, folder / name)) for name in _FRONT_ENDS}
        self.tf_errors: list[float] = []
        rclpy.init()
        self.node = node = rclpy.create_node("soak")
        self._clock = node.create_publisher(Clock, "/clock", 10)
        self._images = node.create_publisher(Image, "/camera/image", 5)
        self._infos = node.create_publisher(CameraInfo, "/camera/camera_info", 5)
        self._tf = node.create_publisher(TFMessage, "/tf", 100)
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._truth: dict[int, float] = {}
        for name in _FRONT_ENDS:
            node.create_subscription(
                RelocalizationStatus, f"/{name}/relocalizer/status",
                lambda m, s=name: self._take_status(s, m), latched,
            )  # fmt: skip
            node.create_subscription(
                PoseWithCovarianceStamped, f"/{name}/pose",
                lambda m, s=name: self._take_pose(s, m), 10,
            )  # fmt: skip
        node.create_subscription(TFMessage, "/tf", self._take_tf, 100)
        self._change = {
            n: node.create_client(ChangeState, f"/{n}/relocalizer/change_state")
            for n in _FRONT_ENDS
        }
        self._set = {
            n: node.create_client(SetParameters, f"/{n}/relocalizer/set_parameters")
            for n in _FRONT_ENDS
        }
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while not self._closing.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    # ---- what is heard ------------------------------------------------------------------------
    def _take_status(self, name: str, message: Any) -> None:
        stamp = _nanoseconds(message.header.stamp)
        self.sides[name].statuses[stamp] = message
        if stamp:
            self.sides[name].last_answer = time.monotonic()

    def _take_pose(self, name: str, message: Any) -> None:
        truth = self._truth.get(_nanoseconds(message.header.stamp))
        if truth is None:
            return
        p = message.pose.pose.position
        self.sides[name].errors.append(float(np.linalg.norm([p.x - truth, p.y, p.z])))

    def _take_tf(self, message: Any) -> None:
        for transform in message.transforms:
            if transform.header.frame_id == "map" and transform.child_frame_id == "odom":
                t = transform.transform.translation
                # map -> odom takes the drift back: that of the last image, or of the one before.
                now, before = self._drift(), self._drift() - _DRIFT * self.step
                self.tf_errors.append(min(abs(t.x + now), abs(t.x + before)))

    # ---- what is sent -------------------------------------------------------------------------
    def _drift(self) -> float:
        """Of the odometry [m]."""
        return _DRIFT * (self.now - _BEGIN)

    def send(self, index: int) -> int:
        """An image with its clock, calibration and odometry; returns its stamp [ns]."""
        from geometry_msgs.msg import TransformStamped
        from rosgraph_msgs.msg import Clock
        from sensor_msgs.msg import CameraInfo, Image
        from tf2_msgs.msg import TFMessage

        self.now += self.step
        stamp = round(self.now * 1e9)
        clock = Clock()
        clock.clock.sec, clock.clock.nanosec = divmod(stamp, 10**9)
        self._clock.publish(clock)
        self._truth[stamp] = _position(index)
        odometry = TransformStamped(child_frame_id="camera")
        odometry.header.stamp, odometry.header.frame_id = clock.clock, "odom"
        odometry.transform.translation.x = _position(index) + self._drift()
        odometry.transform.rotation.w = 1.0
        self._tf.publish(TFMessage(transforms=[odometry]))
        image = Image(width=WIDTH, height=HEIGHT, encoding="rgb8", step=3 * WIDTH)
        image.data = self._pictures[index % len(self._pictures)]
        info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob")
        info.k = [FOCAL, 0.0, WIDTH / 2, 0.0, FOCAL, HEIGHT / 2, 0.0, 0.0, 1.0]
        for part in (image, info):
            part.header.stamp, part.header.frame_id = clock.clock, "camera"
        self._infos.publish(info)
        self._images.publish(image)
        return stamp

    def _wait(self, condition: Any, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.002)
        return False

    def wait_for_nodes(self) -> None:
        """Until both take images.

        Raises:
            RuntimeError: one ends, or does not come up within a minute.
        """
        self.send(0)
        for side in self.sides.values():
            if not self._wait(lambda s=side: s.statuses, 60.0):
                raise RuntimeError(f"{side.name} did not start")
        if not self._wait(lambda: self._images.get_subscription_count() == 2, 60.0):
            raise RuntimeError("the nodes do not listen to the camera")

    # ---- the hours ----------------------------------------------------------------------------
    def run(self) -> None:
        """All images, in order; each waits for the answers to it of the nodes that are active."""
        restarts: list[threading.Thread] = []
        for index in range(self.count):
            if index % _RESTART_EVERY == _RESTART_EVERY // 2:
                name = _FRONT_ENDS[index // _RESTART_EVERY % 2]
                restarts.append(threading.Thread(target=self._restart, args=(self.sides[name],)))
                restarts[-1].start()
            if index % _SET_EVERY == 0:
                change = _CHANGES[index // _SET_EVERY % len(_CHANGES)]
                for side in self.sides.values():
                    self._set_parameter(side, *change)
            if index % max(self.count // 10, 1) == 0:
                self._look()
            active = [side for side in self.sides.values() if side.active]
            stamp = self.send(index)
            for side in active:
                answered = self._answers(side, stamp)
                if side.active:
                    side.expected += 1
                    side.answered += answered
                    status = side.statuses.get(stamp)
                    side.localized += status is not None and status.state == status.STATE_LOCALIZED
                if side.process.poll() is not None:
                    raise RuntimeError(f"{side.name} ended with {side.process.returncode}")
            for side in self.sides.values():
                side.statuses.clear()
        for thread in restarts:
            thread.join()
        self._look()

    def _answers(self, side: Side, stamp: int) -> bool:
        """Whether a node answers to an image, as long as it is active."""
        return self._wait(lambda: stamp in side.statuses or not side.active, 10.0)

    def _restart(self, side: Side) -> None:
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        side.active = False
        for transition in (
            Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
            Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE,
        ):  # fmt: skip
            request = ChangeState.Request(transition=Transition(id=transition))
            future = self._change[side.name].call_async(request)
            if not self._wait(future.done, 60.0) or not future.result().success:
                side.wrong.append(f"transition {transition}")
                return
        side.restarts += 1
        # The first images are lost until both ends of the new subscription know each other.
        begun = time.monotonic()
        side.active = self._wait(lambda: side.last_answer > begun, 60.0)
        if not side.active:
            side.wrong.append("no answer after a restart")

    def _set_parameter(self, side: Side, name: str, value: Any, allowed: bool) -> None:
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        if not side.active:
            return
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        future = self._set[side.name].call_async(request)
        if not self._wait(future.done, 10.0):
            side.wrong.append(f"{name}: no answer")
            return
        taken = future.result().results[0].successful
        side.taken += taken
        side.refused += not taken
        # A node that has just been cleaned up takes what is fixed while it is configured.
        if taken != allowed and side.active:
            side.wrong.append(f"{name} = {value}: {'taken' if taken else 'refused'}")

    def _look(self) -> None:
        hours = (self.now - _BEGIN) / 3600.0
        for side in self.sides.values():
            held = footprint(self.node, side.process.pid, f"/{side.name}")
            side.footprints.append((hours, held))

    def close(self) -> None:
        """End the nodes, as Ctrl-C does."""
        import rclpy

        for side in self.sides.values():
            side.process.send_signal(signal.SIGINT)
        for side in self.sides.values():
            side.process.wait(60.0)
        self._closing.set()
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()


def _nanoseconds(stamp: Any) -> int:
    return stamp.sec * 10**9 + stamp.nanosec


def _start(name: str, folder: Path) -> subprocess.Popen:
    os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "LARGE_DATA")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    command = [sys.executable, "-m", "mast3r_ros.ros.node", "--ros-args", "--log-level", "error"]
    command += ["-r", f"__ns:=/{name}", "-r", "image:=/camera/image"]
    command += ["-r", "camera_info:=/camera/camera_info", "-p", f"front_end:={name}"]
    command += ["-p", f"map:={folder}", "-p", "use_sim_time:=true", "-p", "reliability:=reliable"]
    command += ["-p", f"tf_mode:={'map_odom' if name == _FRONT_ENDS[0] else 'none'}"]
    return subprocess.Popen(command)


def _report(soak: Soak, seconds: float) -> bool:
    """Print the figures; returns whether they are what they must be."""
    hours = soak.count * soak.step / 3600.0
    print(f"{hours:.1f} h by the stamps in {seconds / 60:.1f} min, {soak.count} images 640x480")
    good = True
    for side in soak.sides.values():
        worst = max(side.errors, default=np.nan)
        status = side.process.returncode
        print(
            f"{side.name}: {side.answered} of {side.expected} images answered while active, "
            f"{side.localized} localized, largest error {1e3 * worst:.1f} mm; {side.restarts} "
            f"restarts; parameters: {side.taken} taken, {side.refused} refused, "
            f"{len(side.wrong)} otherwise than expected; exit status {status}"
        )
        for line in side.wrong:
            print(f"  {line}")
        print("  hours  publishers  subscriptions  services  threads  memory")
        for at, held in side.footprints:
            print(
                f"  {at:5.1f}  {held.publishers:10d}  {held.subscriptions:13d}  "
                f"{held.services:8d}  {held.threads:7d}  {held.memory:.0f} MiB"
            )
        middle, last = side.footprints[len(side.footprints) // 2][1], side.footprints[-1][1]
        good &= not side.wrong and status == 0 and worst < _LARGEST_ERROR
        good &= side.answered >= 0.99 * side.expected and side.localized >= 0.98 * side.answered
        # Between deactivation and activation, there are fewer publishers.
        good &= last.publishers == max(held.publishers for _, held in side.footprints)
        good &= last.memory < middle.memory + 60.0
    held = np.percentile(soak.tf_errors, [50, 95]) if soak.tf_errors else [np.nan, np.nan]
    print(
        f"map->odom: {len(soak.tf_errors)} transforms, off the odometry's drift by {held[0]:.4f} m "
        f"(median), {held[1]:.4f} m (95 %)"
    )
    return bool(good)


def main() -> int:
    """Print the figures; fails where a node ends, leaks, errs or does not answer."""
    parser = argparse.ArgumentParser("python -m bench.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=300)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(arguments.images, Path(folder))
        try:
            soak.wait_for_nodes()
            soak.run()
        finally:
            soak.close()
    return 0 if _report(soak, time.monotonic() - started) else 1


if __name__ == "__main__":
    sys.exit(main())
