# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The services: they change the map, each answering what was done or why not."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from std_srvs.srv import Empty

from mast3r_ros.common.errors import UserError
from mast3r_ros.common.paths import expand
from mast3r_ros.frontends.base import FrontEndError, estimates_camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.triangulation import Neighborhood
from mast3r_ros.messages import conversions
from mast3r_ros.ros.host import Host
from mast3r_ros.ros.inputs import Incoming
from mast3r_ros.ros.prior import Prior
from mast3r_ros.ros.rig import Rig
from mast3r_ros.ros.session import Session
from mast3r_ros.srv import (
    AddKeyframe,
    ClearMap,
    LoadMap,
    Relocalize,
    RemoveKeyframe,
    SaveMap,
)

Result = TypeVar("Result")


class ServiceError(UserError, RuntimeError):
    """Why a service cannot do what it was asked, and what to do about it."""


class Services:
    """The node's services. They wait for the worker thread, one service at a time."""

    def __init__(self, node: Host, session: Callable[[], Session | None]) -> None:
        """Offer them; `session` is there from configure to cleanup."""
        self._node = node
        self._current = session
        self._path = ""
        group = MutuallyExclusiveCallbackGroup()
        for kind, name, serve in (
            (AddKeyframe, "add_keyframe", self._add),
            (RemoveKeyframe, "remove_keyframe", self._remove),
            (SaveMap, "save_map", self._save),
            (LoadMap, "load_map", self._load),
            (ClearMap, "clear_map", self._clear),
            (Relocalize, "relocalize", self._relocalize),
        ):
            node.create_service(kind, f"~/{name}", self._guarded(name, serve), callback_group=group)
        node.create_service(
            Empty, "reinitialize_global_localization", self._reinitialize, callback_group=group
        )

    def _guarded(self, name: str, serve: Callable) -> Callable:
        """A service that always answers, with the reason where it fails."""

        def answer(request: Any, response: Any) -> Any:
            log = self._node.get_logger()
            try:
                response.success, response.message = True, serve(request, response)
                log.info(f"{name}: {response.message}")
            except UserError as error:
                response.success, response.message = False, str(error)
                log.warning(f"{name} failed: {error}")
            except CancelledError:
                response.success, response.message = False, "the node was deactivated meanwhile"
                log.warning(f"{name} failed: {response.message}")
            except Exception as error:
                response.success, response.message = False, repr(error)
                log.error(f"{name} failed: {error!r}\n{traceback.format_exc()}")
            return response

        return answer

    @property
    def _session(self) -> Session:
        session = self._current()
        if session is None:
            raise ServiceError("the node is not configured: configure it first")
        return session

    def _inputs(self) -> Rig:
        inputs = self._session.inputs
        if inputs is None:
            raise ServiceError("the node takes no images: activate it first")
        return inputs

    def _timeout(self, requested: float) -> float:
        if not 0.0 <= requested < float("inf"):
            raise ServiceError(f"timeout {requested}: must be 0 (the default) or more [s]")
        return requested or self._node.options.service_timeout

    def _in_worker(self, job: Callable[[], Result]) -> Result:
        return self._session.worker.submit(job).result()

    def _add(self, request: AddKeyframe.Request, response: AddKeyframe.Response) -> str:
        session, rig = self._session, self._inputs()
        try:
            inputs = rig.of(request.camera)
        except KeyError as error:  # its message says which there are
            raise ServiceError(error.args[0]) from error
        deadline = time.monotonic() + self._timeout(request.timeout)
        incoming = inputs.wait_for_image(request.wait_for_next, deadline - time.monotonic())
        if incoming is None:
            raise ServiceError(f"no image on {inputs.image_topic} in time: is the camera running?")
        frame, no_depth = inputs.frame_with_depth(incoming)
        if frame.camera is None and not estimates_camera(session.map.front_end):
            raise ServiceError(f"no camera_info on {inputs.calibration_topic}")
        pose = self._keyframe_pose(request, frame.frame_id, incoming, deadline)
        keyframes = session.map

        def add() -> tuple[int, int, Neighborhood | None]:
            if request.pose_source == AddKeyframe.Request.POSE_IDENTITY and len(keyframes):
                raise ServiceError(
                    f"the map holds {len(keyframes)} keyframes, and only the first can be its "
                    "origin: give a pose, or clear the map"
                )
            keyframe_id = keyframes.add(frame, pose, triangulate=False)
            session.outputs.publish_keyframes(keyframes)
            return keyframe_id, len(keyframes), keyframes.next_neighborhood()

        response.keyframe_id, count, neighborhood = self._in_worker(add)
        response.has_depth = frame.depth is not None
        depth = "with depth" if response.has_depth else f"without depth ({no_depth})"
        if neighborhood is not None:
            try:
                renewed = neighborhood.triangulated()  # in this thread: images are taken meanwhile
                self._in_worker(lambda: keyframes.take_points(renewed))
            except FrontEndError as error:
                depth += f", not matched with its neighbors ({error})"
        return f"added keyframe {response.keyframe_id} {depth}; the map holds {count}"

    def _keyframe_pose(
        self, request: AddKeyframe.Request, frame_id: str, incoming: Incoming, deadline: float
    ) -> Pose:
        source = request.pose_source
        if source == AddKeyframe.Request.POSE_GIVEN:
            return _valid(conversions.to_pose, request.pose)
        if source == AddKeyframe.Request.POSE_FROM_TF:
            left = max(deadline - time.monotonic(), 0.0)
            map_frame = self._node.options.map_frame
            return self._session.tf.wait_for(map_frame, frame_id, incoming.stamp, left)
        if source == AddKeyframe.Request.POSE_IDENTITY:
            return np.eye(4)
        raise ServiceError(f"pose_source {source}: must be one of POSE_GIVEN, _FROM_TF, _IDENTITY")

    def _remove(self, request: RemoveKeyframe.Request, _: RemoveKeyframe.Response) -> str:
        session = self._session

        def remove() -> int:
            try:
                session.map.remove(request.keyframe_id)
            except KeyError as error:  # its message says which ids there are
                raise ServiceError(error.args[0]) from error
            session.outputs.publish_keyframes(session.map)
            return len(session.map)

        left = self._in_worker(remove)
        return f"removed keyframe {request.keyframe_id}; the map holds {left}"

    def _clear(self, _: ClearMap.Request, response: ClearMap.Response) -> str:
        response.removed = self._replace(
            KeyframeMap(self._session.map.front_end, self._node.options.map_cache)
        )
        return f"removed {response.removed} keyframes"

    def _replace(self, keyframes: KeyframeMap) -> int:
        """Take another map; returns how many keyframes the one before had."""
        session = self._session

        def replace() -> int:
            before = len(session.map)
            session.usage.write()
            session.relocalizer.map = keyframes
            session.reset()
            session.outputs.publish_keyframes(keyframes)
            return before

        return self._in_worker(replace)

    def _folder(self, requested: str) -> Path:
        path = requested or self._path or self._node.options.map
        if not path:
            raise ServiceError("no path: give one, no map was loaded or saved yet")
        return expand(path).absolute()

    def _save(self, request: SaveMap.Request, response: SaveMap.Response) -> str:
        session, path = self._session, self._folder(request.path)
        # Training and writing take their time: the worker goes on, and is asked between two images
        # before and after. No other service changes the map meanwhile for another one.
        keyframes = session.map
        training = self._in_worker(keyframes.training)
        if training is not None:
            trained = training.run()
            self._in_worker(lambda: keyframes.take_index(trained))
        saving, count = self._in_worker(lambda: (keyframes.prepare_saving(path), len(keyframes)))
        header = saving.write()
        self._in_worker(lambda: keyframes.finish_saving(saving, header))
        self._path = response.path = str(path)
        response.keyframes = count
        return f"saved {count} keyframes to {path}"

    def _load(self, request: LoadMap.Request, response: LoadMap.Response) -> str:
        path = self._folder(request.path)
        front_end, cache = self._session.map.front_end, self._node.options.map_cache
        keyframes = KeyframeMap.load(path, front_end, cache)
        self._replace(keyframes)
        self._path = str(path)
        response.keyframes = len(keyframes)
        return f"loaded {len(keyframes)} keyframes from {path}"

    def _relocalize(self, request: Relocalize.Request, response: Relocalize.Response) -> str:
        inputs, options = self._inputs(), self._node.options
        prior = None
        if request.use_prior:
            prior = _valid(Prior.from_message, request.prior, options.map_frame, options.base_frame)
        timeout = self._timeout(request.timeout)
        answered = _result(
            self._session.ask_next(prior),
            timeout,
            f"no image on {inputs.image_topic} was processed within {timeout:g} s",
        )
        response.status = answered.status
        if answered.pose is None:
            raise ServiceError(answered.status.reason)
        response.pose = answered.pose
        ids = ", ".join(map(str, answered.status.keyframe_ids))
        return f"localized by keyframes {ids}, {answered.status.inliers} inliers"

    def _reinitialize(self, _: Empty.Request, response: Empty.Response) -> Empty.Response:
        session = self._current()
        if session is not None:
            session.reset()
        return response


def _valid(convert: Callable[..., Result], *arguments: Any) -> Result:
    """What a request's message means; its converter raises ValueError where it means nothing."""
    try:
        return convert(*arguments)
    except ValueError as error:
        raise ServiceError(str(error)) from error


def _result(future: Future[Result], timeout: float, otherwise: str) -> Result:
    try:
        return future.result(timeout)
    except FutureTimeoutError:
        future.cancel()
        raise ServiceError(otherwise) from None
