# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's cameras: one, or those of a rig, whose images of one instant belong together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from mast3r_ros.ros.host import Host
from mast3r_ros.ros.inputs import Incoming, Inputs
from mast3r_ros.ros.options import NodeOptions

# Stamps that go back by more mean that time was set back [ns].
_TIME_JUMP = 1_000_000_000


@dataclass(frozen=True)
class Instant:
    """The images of one instant.

    Attributes:
        images: of each camera that has sent one; the first one gives the stamp.
        silent: cameras that have sent nothing for `camera_silence`.
    """

    images: tuple[Incoming, ...]
    silent: tuple[str, ...] = ()

    @property
    def stamp(self) -> int:
        """Time of exposure [ns]."""
        return self.images[0].stamp

    @property
    def arrival(self) -> float:
        """When the last of the images came, on the monotonic clock [s]."""
        return max(image.arrival for image in self.images)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras that it is of."""
        return tuple(image.camera for image in self.images)


class Rig:
    """Subscriptions of all cameras.

    An instant is handed on once every camera that is not silent has sent its image. Where one skips
    an instant, it is handed on without it as soon as another one has sent its next image.
    """

    def __init__(
        self, node: Host, options: Callable[[], NodeOptions], on_instant: Callable[[Instant], None]
    ) -> None:
        """Subscribe; `on_instant` is called in the executor's threads.

        Raises:
            FrameError: a mask cannot be read.
        """
        self._options, self._on_instant = options, on_instant
        names = options().camera_names
        self.is_rig = bool(names)
        self._lock = threading.Lock()
        self._began: int | None = None
        self._last: dict[str, int] = {}
        self._pending: list[dict[str, Incoming]] = []  # oldest first
        take = self._take if names else self._hand_on
        self._inputs = {name: Inputs(node, options, take, name) for name in names or ("",)}

    def of(self, camera: str) -> Inputs:
        """The inputs of a camera; of an empty name, those of the first.

        Raises:
            KeyError: there is no such camera; the message names those that there are.
        """
        if not camera:
            return next(iter(self._inputs.values()))
        if camera not in self._inputs:
            known = ", ".join(filter(None, self._inputs)) or "one without a name"
            raise KeyError(f"no camera '{camera}': there is {known}")
        return self._inputs[camera]

    @property
    def image_topic(self) -> str:
        """The topics of the images."""
        return ", ".join(inputs.image_topic for inputs in self._inputs.values())

    @property
    def calibration_topic(self) -> str:
        """The topics of the calibrations."""
        return ", ".join(inputs.calibration_topic for inputs in self._inputs.values())

    def close(self) -> None:
        """Unsubscribe."""
        for inputs in self._inputs.values():
            inputs.close()

    def _hand_on(self, image: Incoming) -> None:
        self._on_instant(Instant((image,)))

    def _take(self, image: Incoming) -> None:
        with self._lock:
            for images in self._sorted_in(image):
                ordered = tuple(images[name] for name in self._inputs if name in images)
                self._on_instant(Instant(ordered, self._silent()))

    def _sorted_in(self, image: Incoming) -> list[dict[str, Incoming]]:
        """Put an image with those of its instant; returns the instants that wait no more."""
        stamp = image.stamp
        if self._last and stamp < max(self._last.values()) - _TIME_JUMP:
            self._began, self._last, self._pending = None, {}, []
        self._began = stamp if self._began is None else self._began
        self._last[image.camera] = max(stamp, self._last.get(image.camera, stamp))
        tolerance = self._options().camera_tolerance * 1e9
        fits = (
            images
            for images in self._pending
            if image.camera not in images
            and all(abs(other.stamp - stamp) <= tolerance for other in images.values())
        )
        instant = next(fits, None)
        if instant is None:
            instant = {}
            self._pending.append(instant)
        instant[image.camera] = image
        awaited = self._inputs.keys() - set(self._silent())
        over = [
            images
            for images in self._pending
            if awaited <= images.keys() or (images is not instant and image.camera in images)
        ]
        self._pending = [images for images in self._pending if not any(images is o for o in over)]
        return over

    def _silent(self) -> tuple[str, ...]:
        """Cameras that have sent nothing for `camera_silence`, by the stamps of the others."""
        assert self._began is not None
        oldest = max(self._last.values()) - self._options().camera_silence * 1e9
        return tuple(name for name in self._inputs if self._last.get(name, self._began) < oldest)
