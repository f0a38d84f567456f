# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From configure to cleanup: a map, a thread that solves, and what comes of each image."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped

from mast3r_ros.frame import Frame, FrameError
from mast3r_ros.geometry.camera import CameraError
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization, Reason
from mast3r_ros.messages.images import ImageError
from mast3r_ros.msg import RelocalizationStatus
from mast3r_ros.ros import answers
from mast3r_ros.ros.inputs import Incoming, Inputs
from mast3r_ros.ros.outputs import Outputs
from mast3r_ros.ros.prior import Prior
from mast3r_ros.ros.tf.output import TfOutput
from mast3r_ros.ros.tf.source import Tf
from mast3r_ros.ros.worker import Worker

# What a user can put right; anything else is the node's own failure.
BAD_INPUT = (ImageError, CameraError, FrameError)


@dataclass(frozen=True)
class Answered:
    """What became of an image: its status, and its pose where localized."""

    status: RelocalizationStatus
    pose: PoseWithCovarianceStamped | None


@dataclass(frozen=True, eq=False)
class _Request:
    """A service's wish to hear of the next image."""

    since: float
    prior: Prior | None
    answer: Future[Answered]


class Session:
    """What the node has between configure and cleanup.

    The map is touched by the worker's thread alone: services go through `worker.submit`.
    """

    def __init__(self, node: Any, keyframes: KeyframeMap, tf: Tf, outputs: Outputs) -> None:
        """Begin with a map; no image is taken before `activate`."""
        self._node = node
        self.tf = tf
        self.outputs = outputs
        self.relocalizer = Relocalizer(keyframes, node.relocalizer_options)
        self.tf_output = TfOutput(tf, node.get_clock(), lambda: node.options)
        self.inputs: Inputs | None = None
        self.worker: Worker[Incoming] = Worker(self._solve)
        self.localized = 0
        self.last_status = RelocalizationStatus()
        self._prior: Prior | None = None
        self._requests: list[_Request] = []
        self._last_stamp = 0

    @property
    def map(self) -> KeyframeMap:
        """The map; to be touched in the worker's thread."""
        return self.relocalizer.map

    def activate(self) -> None:
        """Take images."""
        self.inputs = Inputs(self._node, lambda: self._node.options, self.worker.offer)
        waiting = f"no image yet on {self.inputs.image_topic}"
        self.outputs.publish_status(self._status(RelocalizationStatus.STATE_WAITING, waiting))

    def deactivate(self) -> None:
        """Take no more images."""
        if self.inputs is not None:
            self.inputs.close()
            self.worker.discard()
            # What is being solved now is finished before anything is forgotten.
            self.worker.submit(lambda: None).result()
            self.inputs = None
        for request in self._requests:
            request.answer.cancel()
        self._requests.clear()
        self.reset()

    def close(self) -> None:
        """End the thread; what waits for it is canceled."""
        self.deactivate()
        self.worker.close()
        self.tf.close()

    def reset(self) -> None:
        """Forget where the camera was."""
        self._prior = None
        self.tf_output.reset()

    def believe(self, prior: Prior) -> None:
        """Search near a prior until an answer is found, or it is too old."""
        self._prior = prior

    def ask_next(self, prior: Prior | None) -> Future[Answered]:
        """What will become of the next image that arrives from now on."""
        request = _Request(time.monotonic(), prior, Future())
        self._requests.append(request)
        return request.answer

    def warm_up(self, frame: Frame) -> None:
        """Describe an image for nothing: the first time costs most."""
        front_end = self.map.front_end
        own = getattr(front_end, "warm_up", None)
        self.worker.submit(own or (lambda: front_end.describe(frame))).result()

    def _solve(self, incoming: Incoming) -> None:
        """Everything that happens to an image, in the worker's thread; never raises."""
        inputs = self.inputs
        if inputs is None:
            return
        requests = [r for r in self._requests if r.since <= incoming.arrival]
        try:
            prior = next((r.prior for r in requests if r.prior), None)
            answered = self._answer(inputs, incoming, prior)
        except Exception as error:
            if not self._node.context.ok():
                return  # nothing can be published any more
            self._node.get_logger().error(f"image of stamp {incoming.stamp}: {error!r}")
            state = RelocalizationStatus.STATE_ERROR
            answered = Answered(self._status(state, repr(error), incoming), None)
            self.outputs.publish_status(answered.status)
        self.last_status = answered.status
        for request in requests:
            self._requests.remove(request)
            if request.answer.set_running_or_notify_cancel():
                request.answer.set_result(answered)

    def _answer(self, inputs: Inputs, incoming: Incoming, prior: Prior | None) -> Answered:
        node, timings = self._node, {"wait": time.monotonic() - incoming.arrival}
        notes = []
        if incoming.stamp < self._last_stamp:
            back = (self._last_stamp - incoming.stamp) / 1e9
            notes.append(f"stamps went back by {back:.3f} s: TF begins anew")
            self.tf.restart()
            self.tf_output.reset()
        self._last_stamp = incoming.stamp
        started = time.perf_counter()
        try:
            frame = inputs.frame(incoming)
        except BAD_INPUT as error:
            reason = "; ".join([str(error), *notes])
            status = self._status(RelocalizationStatus.STATE_BAD_INPUT, reason, incoming)
            self.outputs.publish_status(status)
            return Answered(status, None)
        timings["convert"] = time.perf_counter() - started
        chosen = prior or self._current_prior()
        near = chosen.for_camera(frame.frame_id, self.tf) if chosen else None
        answer = self.relocalizer.localize(frame, near)
        timings.update(answer.timings)
        started = time.perf_counter()
        pose = None
        if answer.localized:
            assert answer.pose is not None
            self._prior = None
            self.localized += 1
            pose = answers.map_pose(answer, frame.stamp, node.options.map_frame)
            self.outputs.pose.publish(pose)
            notes.append(self.tf_output.take(answer.pose, frame.frame_id, frame.stamp))
        elif answer.reason is Reason.NO_CAMERA:
            notes.insert(0, f"no camera_info on {inputs.calibration_topic}")
        else:
            notes.insert(0, answer.message)
        timings["publish"] = time.perf_counter() - started
        reason = "; ".join(filter(None, notes))
        status = self._status(answers.state_of(answer.reason), reason, incoming, answer, timings)
        self.outputs.publish_status(status)
        self.outputs.publish_details(frame, answer, self.map)
        return Answered(status, pose)

    def _current_prior(self) -> Prior | None:
        prior = self._prior
        if prior is not None and prior.age > self._node.options.prior_timeout:
            self._prior = prior = None
        return prior

    def _status(
        self,
        state: int,
        reason: str,
        incoming: Incoming | None = None,
        answer: Localization | None = None,
        timings: dict[str, float] | None = None,
    ) -> RelocalizationStatus:
        front_end = self.map.front_end
        status = RelocalizationStatus(
            state=state,
            reason=reason,
            latency=answers.latencies(timings or {}),
            frames_seen=self.worker.seen,
            frames_dropped=self.worker.dropped,
            frames_localized=self.localized,
            map_keyframes=len(self.map),
            front_end=front_end.name,
            engine=getattr(front_end, "engine", ""),
        )
        if answer is not None:
            status.keyframe_ids = list(answer.keyframes)
            status.inliers = answer.inliers
            status.confidence = answer.confidence
            status.intrinsics_estimated = answer.camera_estimated
        if incoming is not None:
            status.header = incoming.message.header
            status.total_seconds = time.monotonic() - incoming.arrival
        return status
