# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The other cameras of a robot in a recording: their images beside each query."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from mast3r_ros.common.errors import UserError
from mast3r_ros.datasets.dataset import Dataset
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.summary import REFUSED
from mast3r_ros.geometry import transforms
from mast3r_ros.localization.view import View

# Stamps of images of one instant differ by less [ns].
_TOLERANCE = 10_000_000


class Beside:
    """Finds the images of further cameras that belong to a query's instant.

    Where they sit follows from the true poses of both images: in a bag, those are looked up in TF.
    """

    def __init__(self, cameras: Sequence[Dataset] = ()) -> None:
        """Read when each camera has images.

        Raises:
            RecordingError: a camera has none with a pose.
        """
        self._cameras = [sorted(camera.posed(), key=lambda i: i.stamp) for camera in cameras]

    def views(self, query: PosedImage) -> list[View]:
        """The images of the other cameras, the query's own camera being the body.

        An image that cannot be used is left out and counted.
        """
        found = []
        for images in self._cameras:
            image = _nearest(images, query.stamp)
            if image is None:
                continue
            try:
                frame = image.load(False)
            except UserError as error:
                image.summary.note(REFUSED, image.name, str(error))
                continue
            image.summary.count_read(image.name)
            place = transforms.inverse(query.true_pose) @ image.true_pose
            found.append(View(frame, place))
        return found


def _nearest(images: Sequence[PosedImage], stamp: int) -> PosedImage | None:
    """The image of a stamp, None where there is none."""
    at = bisect_left([image.stamp for image in images], stamp)
    near = min(images[max(at - 1, 0) : at + 1], key=lambda image: abs(image.stamp - stamp))
    return near if abs(near.stamp - stamp) <= _TOLERANCE else None
