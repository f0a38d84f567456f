# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From configure to cleanup: a map, and what happens to each image."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup

from mast3r_ros.common.errors import UserError
from mast3r_ros.frame import Frame, FrameError
from mast3r_ros.frontends.base import estimates_camera
from mast3r_ros.geometry.camera import CameraError
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.retrieval import PosePrior
from mast3r_ros.localization.map_odom import FilterOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization, Reason
from mast3r_ros.localization.view import View
from mast3r_ros.localization.window import Window, WindowOptions
from mast3r_ros.messages.images import ImageError
from mast3r_ros.msg import RelocalizationStatus
from mast3r_ros.ros import answers
from mast3r_ros.ros.host import Host
from mast3r_ros.ros.outputs import Outputs
from mast3r_ros.ros.prior import Prior
from mast3r_ros.ros.requests import Belief, Requests
from mast3r_ros.ros.rig import Instant, Rig
from mast3r_ros.ros.tf.output import TfOutput
from mast3r_ros.ros.tf.source import Tf, TransformError
from mast3r_ros.ros.usage import UsageRecorder
from mast3r_ros.ros.worker import Worker

# Stamps that go back by less are images that arrive late; by more, time was set back [ns].
_TIME_JUMP = 1_000_000_000
# How often the map is drawn for those who have come to look at it [s].
_DRAW_PERIOD = 1.0


@dataclass(frozen=True)
class Answered:
    """What became of an image.

    Attributes:
        status: as it was published.
        pose: of the camera in the map, where localized.
        views: images that were solved together, itself included; 0 where it could not be used.
    """

    status: RelocalizationStatus
    pose: PoseWithCovarianceStamped | None
    views: int = 0


class Session:
    """What the node has between configure and cleanup.

    The map is touched by the worker thread alone: services go through `worker.submit`.
    """

    def __init__(
        self,
        node: Host,
        worker: Worker[Instant],
        keyframes: KeyframeMap,
        tf: Tf,
        outputs: Outputs,
        window: WindowOptions,
        filtering: FilterOptions,
    ) -> None:
        """Begin with a map; no image is taken before `activate`."""
        self._node = node
        self.worker = worker
        self.tf = tf
        self.outputs = outputs
        self.relocalizer = Relocalizer(keyframes, node.relocalizer_options)
        self.window = Window(self.relocalizer, window)
        self.usage = UsageRecorder(node, self.relocalizer)
        self.tf_output = TfOutput(
            tf,
            node.get_clock(),
            lambda: node.options,
            filtering,
            outputs.publish_filtered,
            window.jumped,
        )
        self.inputs: Rig | None = None
        self.localized = 0
        self.last_status = RelocalizationStatus()
        self._belief = Belief()
        self._requests: Requests[Answered] = Requests()
        self._last_stamp = 0
        self._forget_window = False
        again = [(_DRAW_PERIOD, self._draw_map)]
        # Waking up at that rate, a node that waits for images takes most of its processor time.
        if node.options.tf_mode == "map_odom":
            again.append((1.0 / node.options.tf_rate, self.tf_output.send_again))
        group = MutuallyExclusiveCallbackGroup()
        self._timers = [
            node.create_timer(period, callback, callback_group=group) for period, callback in again
        ]
        worker.serve(self._handle)

    @property
    def map(self) -> KeyframeMap:
        """The map; to be touched in the worker thread."""
        return self.relocalizer.map

    def activate(self) -> None:
        """Take images."""
        self.inputs = Rig(self._node, lambda: self._node.options, self.worker.offer)
        waiting = f"no image yet on {self.inputs.image_topic}"
        self.outputs.publish_status(self._status(RelocalizationStatus.STATE_WAITING, waiting))

    def deactivate(self) -> None:
        """Take no more images."""
        if self.inputs is not None:
            self.inputs.close()
            # The image in progress is finished before anything is forgotten.
            self.worker.rest()
            self.worker.submit(self.usage.write).result()
            self.inputs = None
        self._requests.cancel()
        self.reset()

    def close(self) -> None:
        """Stop; the worker is free for another session."""
        self.deactivate()
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self.worker.serve(None)
        self.worker.rest()
        self.tf.close()

    def reset(self) -> None:
        """Forget where the camera was."""
        self._belief.set(None)
        # The window belongs to the worker thread.
        self._forget_window = True
        self.tf_output.reset()

    def believe(self, prior: Prior) -> None:
        """Search near a prior until an image is localized with it, or it is too old."""
        self._belief.set(prior)

    def ask_next(self, prior: Prior | None) -> Future[Answered]:
        """What will become of the next image that arrives from now on."""
        return self._requests.add(prior)

    def warm_up(self, frame: Frame) -> None:
        """Describe an image and discard the result: the first time takes longest."""
        front_end = self.map.front_end
        own = getattr(front_end, "warm_up", None)
        self.worker.submit(own or (lambda: front_end.describe(frame))).result()

    def _draw_map(self) -> None:
        self.worker.submit(lambda: self.outputs.publish_keyframes(self.map))

    def _handle(self, incoming: Instant) -> None:
        """All that happens to the images of an instant, in the worker thread; never raises."""
        inputs = self.inputs
        if inputs is None:
            return
        requests = self._requests.take(incoming.arrival)
        try:
            prior = next((r.prior for r in requests if r.prior), None)
            answered = self._answer(inputs, incoming, prior)
        except Exception as error:
            if not self._node.context.ok():
                return  # nothing can be published any more
            answered = self._failed(incoming, error)
        self.last_status = answered.status
        for request in requests:
            if request.result.set_running_or_notify_cancel():
                request.result.set_result(answered)

    def _failed(self, incoming: Instant, error: Exception) -> Answered:
        """What a user can put right is told in the status; a bug is logged with its traceback."""
        reason = str(error) if isinstance(error, UserError) else repr(error)
        details = "" if isinstance(error, UserError) else f"\n{traceback.format_exc()}"
        self._node.get_logger().error(f"image of stamp {incoming.stamp}: {reason}{details}")
        answered = Answered(self._status(RelocalizationStatus.STATE_ERROR, reason, incoming), None)
        self.outputs.publish_status(answered.status)
        return answered

    def _answer(self, rig: Rig, incoming: Instant, requested: Prior | None) -> Answered:
        node, timings = self._node, {"wait": time.monotonic() - incoming.arrival}
        notes = self._follow_time(incoming.stamp)
        started = time.perf_counter()
        views, faults = self._views(rig, incoming)
        if not views:
            reason = "; ".join([*faults, *notes])
            status = self._status(RelocalizationStatus.STATE_BAD_INPUT, reason, incoming)
            self.outputs.publish_status(status)
            return Answered(status, None)
        timings["convert"] = time.perf_counter() - started
        notes += [*faults, *(f"camera {name} is silent" for name in incoming.silent)]
        on_base = node.options.poses_base
        body = node.options.base_frame if on_base else views[""].frame.frame_id
        prior = requested or self._belief.get(node.options.prior_timeout)
        near = prior.for_camera(body, self.tf) if prior else None
        odom_body = self._odometry(body, incoming.stamp)
        answer = self._localize(list(views.values()), incoming.stamp, odom_body, near)
        self.usage.take(answer, [view.T_body_camera for view in views.values()], incoming.stamp)
        if self.window.jumped:
            self.tf_output.reset()
            notes.append("odometry jumped: the window and map->odom start over")
        timings.update(answer.timings)
        started = time.perf_counter()
        pose = None
        if answer.localized:
            self._belief.used(prior)
            pose = self._accept(answer, body, incoming.stamp, odom_body, notes)
        elif answer.reason is Reason.NO_CAMERA:
            notes.insert(0, f"no camera_info on {rig.calibration_topic}")
        else:
            notes.insert(0, answer.message)
        if not answer.localized:
            self.tf_output.miss(body, incoming.stamp, odom_body)
        timings["publish"] = time.perf_counter() - started
        reason = "; ".join(filter(None, notes))
        status = self._status(answers.state_of(answer.reason), reason, incoming, answer, timings)
        self.outputs.publish_status(status)
        self._publish_details(views, answer)
        return Answered(status, pose, max(self.window.history, 1))

    def _views(self, rig: Rig, incoming: Instant) -> tuple[dict[str, View], list[str]]:
        """The images of an instant that can be used, by camera, and why others cannot."""
        views: dict[str, View] = {}
        faults = []
        for image in incoming.images:
            try:
                frame = rig.of(image.camera).frame(image)
                on_base = self._node.options.poses_base
                views[image.camera] = self._view(frame) if on_base else View(frame)
            except (ImageError, CameraError, FrameError, TransformError) as error:
                faults.append(f"camera {image.camera}: {error}" if rig.is_rig else str(error))
        return views, faults

    def _view(self, frame: Frame) -> View:
        """An image of a robot: where its camera sits on it, TF knows."""
        if frame.camera is None and not estimates_camera(self.map.front_end):
            raise FrameError("no camera_info")
        options = self._node.options
        T_base_camera = self.tf.wait_for_latest(
            options.base_frame, frame.frame_id, options.tf_timeout
        )
        return View(frame, T_base_camera)

    def _accept(
        self,
        answer: Localization,
        body: str,
        stamp: int,
        odom_body: Pose | TransformError,
        notes: list[str],
    ) -> PoseWithCovarianceStamped:
        """Publish a pose, and correct map -> odom by it."""
        assert answer.pose is not None
        self.localized += 1
        pose = answers.map_pose(answer, stamp, self._node.options.map_frame)
        self.outputs.publish_pose(pose)
        if answer.matcher:
            notes.append(f"localized by a second look ({answer.matcher})")
        notes.append(self.tf_output.take(answer, body, stamp, odom_body))
        return pose

    def _publish_details(self, views: Mapping[str, View], answer: Localization) -> None:
        """What is drawn and told by keyframe: the part of each image of this instant."""
        best = next((m.view for m in answer.matches if m.view < len(views)), 0)
        for number, (camera, view) in enumerate(views.items()):
            pose = None if answer.pose is None else answer.pose @ view.T_body_camera
            own = tuple(match for match in answer.matches if match.view == number)
            part = replace(answer, matches=own, pose=pose)
            self.outputs.publish_details(view.frame, part, self.map, camera, number == best)

    def _odometry(self, body: str, stamp: int) -> Pose | TransformError:
        """odom <- body at the image's stamp, or why it is not known."""
        options = self._node.options
        try:
            if options.tf_mode != "map_odom":
                # Such a robot may have no odometry, and then nobody waits for it.
                self.tf.find(options.odom_frame, body, 0)
            return self.tf.wait_for(options.odom_frame, body, stamp, options.tf_timeout)
        except TransformError as error:
            # With its traceback it would hold the image and the answer until the garbage collector
            # looks for cycles.
            return error.with_traceback(None)

    def _localize(
        self,
        views: Sequence[View],
        stamp: int,
        odom_body: Pose | TransformError,
        near: PosePrior | None,
    ) -> Localization:
        """Together with the images before, where odometry ties them."""
        if self._forget_window or isinstance(odom_body, TransformError):
            self._forget_window = False
            self.window.reset()
        if isinstance(odom_body, TransformError):
            return self.relocalizer.localize(views, near)
        return self.window.localize(views, odom_body, stamp, near)

    def _follow_time(self, stamp: int) -> list[str]:
        """Start TF over where time was set back, as when a bag loops; returns notes about it."""
        if stamp == 0:  # no time at all
            return []
        back = self._last_stamp - stamp
        if 0 <= back <= _TIME_JUMP:
            return []
        self._last_stamp = stamp
        if back < 0:
            return []
        self.tf.restart()
        self.tf_output.reset()
        self.window.reset()
        return [f"time jumped back by {back / 1e9:.1f} s: TF buffer cleared"]

    def _status(
        self,
        state: int,
        reason: str,
        incoming: Instant | None = None,
        answer: Localization | None = None,
        timings: dict[str, float] | None = None,
    ) -> RelocalizationStatus:
        front_end: Any = self.map.front_end
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
            protection_position=math.inf,
            protection_rotation=math.inf,
        )
        filtered = self.tf_output.filtered
        status.filter_state = answers.filter_state_of(filtered.state)
        status.distance_since_fix, status.seconds_since_fix = filtered.driven, filtered.age
        scale = self.relocalizer.scale
        status.predicted_scale, status.predicted_scale_sigma = scale.factor, scale.sigma
        if answer is not None:
            status.keyframe_ids = list(answer.keyframes)
            status.inliers = answer.inliers
            status.confidence = answer.confidence
            status.protection_position = answer.protection_position
            status.protection_rotation = answer.protection_rotation
            status.intrinsics_estimated = answer.camera_estimated
        if incoming is not None:
            status.header = incoming.images[0].message.header
            status.cameras = list(filter(None, incoming.cameras))
            status.silent_cameras = list(incoming.silent)
            status.total_seconds = time.monotonic() - incoming.arrival
        return status
