# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's own time and memory, with 640x480 rgb8 images at 30 Hz from another process.

Own time is what passes between a message in and the answer out, less what the front end and the
worker take. It is stated twice: by the node's own clock, and from publishing the image here to
having the status here, which adds the middleware's way there and back. `--minutes 10` for memory;
`--cycles 60` configures, activates, deactivates and cleans the node up so often, with images, and
states the publishers, threads and memory before and after.
"""

from __future__ import annotations

import argparse
import array
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT, FOCAL, DISTANCE = 640, 480, 525.0, 2.0
# Not the node's own: `wait` is for the front end and the worker to finish the image before.
_OTHERS = ("wait", "describe", "retrieve", "match", "solve")
_TIMEOUT = 60.0
# glibc then gives back at once what is freed; otherwise it may keep 50 MiB for later.
_TIGHT = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}


@dataclass
class Figures:
    """What was measured.

    Attributes:
        inside: own time by the node's clock, an image [s].
        around: the same from here to here and back, images far apart [s].
        memory: (seconds since the start, resident set size [MiB]) over the time.
        sent, seen, answered, localized: counts of images.
    """

    inside: list[float] = field(default_factory=list)
    around: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    sent: int = 0
    seen: int = 0
    answered: int = 0
    localized: int = 0

    @property
    def growth(self) -> float:
        """Growth over the second half of the run, of what is held between two images [MiB].

        That is the least of a quarter: while an image is solved, some 50 MiB more are in use.
        """
        sizes = [size for _, size in self.memory]
        quarter = max(len(sizes) // 4, 1)
        return min(sizes[-quarter:]) - min(sizes[2 * quarter : 3 * quarter])


def texture() -> np.ndarray:
    random = np.random.default_rng(1)
    layers = [
        cv2.resize(random.uniform(0, 255, (s, s, 3)).astype(np.float32), (1280, 960))
        for s in (40, 120, 360)
    ]
    return np.uint8(np.mean(layers, axis=0))


def _resident(pid: int) -> float:
    """Resident set size of a process [MiB]."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class _Camera:
    """A camera that looks at a wall from a little way along it each time, and hears the answers."""

    def __init__(self) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
        from sensor_msgs.msg import CameraInfo, Image

        from mast3r_ros.msg import RelocalizationStatus

        rclpy.init()
        self.node = rclpy.create_node("bench")
        make = self.node.create_publisher
        self.images = make(Image, "image", qos_profile_sensor_data)
        self.depths = make(Image, "depth", qos_profile_sensor_data)
        self._infos = make(CameraInfo, "camera_info", qos_profile_sensor_data)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.statuses: list[tuple[float, Any]] = []
        self._heard = threading.Condition()
        self.node.create_subscription(
            RelocalizationStatus, "relocalizer/status", self._take, latched
        )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        wall = texture()
        self._bytes = [
            array.array("B", wall[100 : 100 + HEIGHT, x : x + WIDTH].tobytes())
            for x in range(100, 160, 2)
        ]
        self._count = 0

    def _spin(self) -> None:
        # With a time limit: on a busy machine, an executor that waits without one was seen to wait
        # forever, for answers and for the end of its context alike.
        while not self._closing.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def _take(self, status: Any) -> None:
        with self._heard:
            self.statuses.append((time.monotonic(), status))
            self._heard.notify_all()

    def send(self) -> tuple[float, Any]:
        """Publish the next image; returns when, and its stamp."""
        from sensor_msgs.msg import CameraInfo, Image

        stamp = self.node.get_clock().now().to_msg()
        message = Image(width=WIDTH, height=HEIGHT, encoding="rgb8", step=3 * WIDTH)
        message.data = self._bytes[self._count % len(self._bytes)]
        info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob")
        info.k = [FOCAL, 0.0, WIDTH / 2, 0.0, FOCAL, HEIGHT / 2, 0.0, 0.0, 1.0]
        for part in (message, info):
            part.header.stamp, part.header.frame_id = stamp, "camera"
        self._infos.publish(info)
        self._count += 1
        sent = time.monotonic()
        self.images.publish(message)
        return sent, stamp

    def send_depth(self, stamp: Any) -> None:
        """Publish the wall's depth."""
        from sensor_msgs.msg import Image

        depth = np.full((HEIGHT, WIDTH), DISTANCE, np.float32)
        message = Image(width=WIDTH, height=HEIGHT, encoding="32FC1", step=4 * WIDTH)
        message.data = array.array("B", depth.tobytes())
        message.header.stamp, message.header.frame_id = stamp, "camera"
        self.depths.publish(message)

    def wait_for(self, condition: Any, timeout: float) -> Any:
        """Until a condition holds or time is up; returns it."""
        end = time.monotonic() + timeout
        with self._heard:
            while not (value := condition()) and time.monotonic() < end:
                self._heard.wait(0.02)
        return value

    def wait(self, condition: Any, what: str) -> Any:
        """As `wait_for`, a minute at most.

        Raises:
            RuntimeError: time is up.
        """
        value = self.wait_for(condition, _TIMEOUT)
        if not value:
            raise RuntimeError(f"the node did not answer: no {what}")
        return value

    def ask_until_answered(self, client: Any) -> None:
        """Call a service that changes nothing, every second, until one answer arrives."""

        def answered() -> bool:
            future = client.call_async(client.srv_type.Request())
            return bool(self.wait_for(future.done, 1.0))

        self.wait(answered, f"answer of {client.srv_name}")

    def answer_to(self, stamp: Any) -> Any:
        """(When, status) of one image, or None."""
        return next((h for h in reversed(self.statuses) if h[1].header.stamp == stamp), None)

    def add_keyframe(self) -> None:
        """Make the view a keyframe, with depth."""
        from mast3r_ros.srv import AddKeyframe

        client = self.node.create_client(AddKeyframe, "relocalizer/add_keyframe")
        self.wait(client.service_is_ready, "service add_keyframe")
        answer = AddKeyframe.Response()
        # Best effort loses what is sent before the connection stands.
        for _ in range(10):
            future = client.call_async(AddKeyframe.Request(wait_for_next=True))

            def answered(future: Any = future) -> Any:
                self.send_depth(self.send()[1])
                time.sleep(0.2)
                return future.done() and future.result()

            answer = self.wait(answered, "answer of add_keyframe")
            if answer.success and answer.has_depth:
                return
        raise RuntimeError(f"add_keyframe: {answer.message}")

    def close(self) -> None:
        """Leave the network."""
        import rclpy

        self._closing.set()
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()


@dataclass(frozen=True)
class Footprint:
    """What a process holds.

    Attributes:
        publishers, subscriptions, services: of the node, by the ROS graph.
        threads: of the process.
        memory: resident set size [MiB].
    """

    publishers: int
    subscriptions: int
    services: int
    threads: int
    memory: float


def footprint(node: Any, pid: int, namespace: str = "/") -> Footprint:
    """What a process with the node `relocalizer` holds, as another node sees it."""
    here = ("relocalizer", namespace)
    status = Path(f"/proc/{pid}/status").read_text()
    return Footprint(
        *(
            sum(len(kinds) for _, kinds in by_node(*here))
            for by_node in (
                node.get_publisher_names_and_types_by_node,
                node.get_subscriber_names_and_types_by_node,
                node.get_service_names_and_types_by_node,
            )
        ),
        int(status.split("Threads:")[1].split()[0]),
        _resident(pid),
    )


def cycle(count: int, front_end: str = "sift") -> list[tuple[int, Footprint]]:
    """Take the node through its lifecycle with images; returns its footprint every ten cycles.

    Counts are of endpoints: publishers of one topic that pile up are counted each.

    Raises:
        RuntimeError: a transition fails, or no image is processed in a cycle.
    """
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState, GetState

    command = [sys.executable, "-m", "mast3r_ros.ros.node", "--ros-args", "--log-level", "warn"]
    command += ["-p", f"front_end:={front_end}", "-p", "autostart:=false"]
    process, camera = _start(command)
    found = []
    try:
        client = camera.node.create_client(ChangeState, "relocalizer/change_state")
        camera.wait(client.service_is_ready, "service change_state")
        # That the client knows the service says nothing of the other way: an answer to a client
        # that the node has not discovered yet is lost. The second client is announced after the
        # first, so once it has an answer, the node knows both.
        camera.ask_until_answered(camera.node.create_client(GetState, "relocalizer/get_state"))

        def change(transition: int) -> None:
            future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
            if not camera.wait(
                lambda: future.done() and future.result(), f"answer to transition {transition}"
            ).success:
                raise RuntimeError(f"transition {transition} failed")

        for number in range(1, count + 1):
            change(Transition.TRANSITION_CONFIGURE)
            change(Transition.TRANSITION_ACTIVATE)
            camera.wait(camera.images.get_subscription_count, "subscription")
            before = len(camera.statuses)

            def processed(before: int = before) -> bool:
                camera.send()
                time.sleep(0.05)
                return any(s.total_seconds > 0 for _, s in camera.statuses[before:])

            camera.wait(processed, "status of an image")
            change(Transition.TRANSITION_DEACTIVATE)
            change(Transition.TRANSITION_CLEANUP)
            if number in (1, 2) or number % 10 == 0:
                time.sleep(0.5)  # for the graph to follow
                tf = camera.node.get_publishers_info_by_topic("/tf")
                held = footprint(camera.node, process.pid)
                extra = len(tf) - 1 if tf else 0
                found.append((number, replace(held, publishers=held.publishers + extra)))
    finally:
        camera.close()
        process.send_signal(signal.SIGINT)
        process.wait(_TIMEOUT)
    return found


def _start(command: list[str], tight: bool = False) -> tuple[subprocess.Popen, _Camera]:
    """A node in a process of its own, and the camera, in a domain of their own."""
    # Both ends are started here; without, Fast DDS loses most of the images on the way. So it does
    # with ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST: a domain of its own keeps the run to itself.
    os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "LARGE_DATA")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    return subprocess.Popen(command, env=os.environ | (_TIGHT if tight else {})), _Camera()


def _own(status: Any) -> float:
    return status.total_seconds - sum(s.seconds for s in status.latency if s.stage in _OTHERS)


def measure(
    seconds: float, rate: float = 30.0, quiet_images: int = 20, tight: bool = False
) -> Figures:
    """Run the node for a while.

    Args:
        seconds: how long images come at `rate`.
        rate: images a second [Hz].
        quiet_images: how many come one at a time before that, each waiting for its answer.
        tight: give freed memory back at once, so that what grows is in use; slower.
    """
    command = [sys.executable, "-m", "mast3r_ros.ros.node", "--ros-args"]
    command += ["-p", "front_end:=sift", "-p", "tf_mode:=none", "--log-level", "warn"]
    process, camera = _start(command, tight)
    figures = Figures()
    try:
        camera.wait(lambda: camera.statuses, "first status")
        camera.wait(camera.images.get_subscription_count, "subscription")
        camera.wait(camera.depths.get_subscription_count, "subscription")
        camera.add_keyframe()
        for _ in range(quiet_images):
            sent, stamp = camera.send()
            answer = camera.wait_for(lambda s=stamp: camera.answer_to(s), 2.0)
            if answer is None:  # lost on the way: best effort
                continue
            heard, status = answer
            others = sum(s.seconds for s in status.latency if s.stage in _OTHERS[1:])
            figures.around.append(heard - sent - others)
        camera.statuses.clear()
        start = time.monotonic()
        while (now := time.monotonic() - start) < seconds:
            if process.poll() is not None:
                raise RuntimeError(f"the node ended with {process.returncode}")
            camera.send()
            figures.sent += 1
            figures.memory.append((now, _resident(process.pid)))
            time.sleep(max(0.0, start + figures.sent / rate - time.monotonic()))
        statuses = [status for _, status in camera.statuses]
        figures.inside = [_own(status) for status in statuses]
        figures.answered = len(statuses)
        figures.seen = statuses[-1].frames_seen - statuses[0].frames_seen
        figures.localized = sum(s.state == s.STATE_LOCALIZED for s in statuses)
    finally:
        camera.close()
        process.send_signal(signal.SIGINT)
        process.wait(_TIMEOUT)
    return figures


def _milliseconds(values: list[float]) -> str:
    median, late = np.percentile(values, [50, 95]) * 1e3
    return f"median {median:.2f} ms, p95 {late:.2f} ms"


def _report_cycles(found: list[tuple[int, Footprint]]) -> int:
    print("cycles  publishers  subscriptions  services  threads  memory")
    for number, has in found:
        print(
            f"{number:6d}  {has.publishers:10d}  {has.subscriptions:13d}  {has.services:8d}  "
            f"{has.threads:7d}  {has.memory:.1f} MiB"
        )
    return 0 if flat(found) else 1


def flat(found: list[tuple[int, Footprint]]) -> bool:
    """Whether nothing piles up after the tenth cycle but a little slack of the allocator."""
    first, last = next(f for n, f in found if n >= 10), found[-1][1]
    endpoints = ("publishers", "subscriptions", "services")
    return (
        all(getattr(last, name) == getattr(first, name) for name in endpoints)
        and last.threads <= first.threads + 1
        and last.memory < first.memory + 8.0
    )


def main() -> int:
    """Print the figures; fails where own time or memory are beyond what is promised."""
    parser = argparse.ArgumentParser("python -m bench.node", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--cycles", type=int, default=0)
    parser.add_argument("--front-end", default="sift", help="of the cycles")
    arguments = parser.parse_args()
    if arguments.cycles:
        return _report_cycles(cycle(arguments.cycles, arguments.front_end))
    minutes = arguments.minutes
    figures = measure(60.0 * minutes)
    sizes = [size for _, size in figures.memory]
    print(f"640x480 rgb8 at 30 Hz for {minutes:g} min, front end sift, {os.cpu_count()} cores")
    print(
        f"images           {figures.sent} sent, {figures.seen} received, "
        f"{figures.answered} answered (newest wins), "
        f"{figures.localized} localized"
    )
    print(f"own time         {_milliseconds(figures.inside)}")
    print(f"and middleware   {_milliseconds(figures.around)}")
    print(
        f"memory           {sizes[0]:.1f} MiB at first, {sizes[-1]:.1f} MiB at last, "
        f"{figures.growth:+.1f} MiB over the second half"
    )
    return 0 if np.median(figures.inside) < 0.005 else 1


if __name__ == "__main__":
    sys.exit(main())
