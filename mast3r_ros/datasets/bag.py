# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bags as data sets: images with their poses, calibration and depth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.datasets.bag_cameras import Calibrations, choose, read_calibrations
from mast3r_ros.datasets.bag_index import COMPRESSED, Index, Stamped, Topics, nearest
from mast3r_ros.datasets.bag_reader import BagReader, Raw, deserialize, header
from mast3r_ros.datasets.bag_runs import Runs, Stream
from mast3r_ros.datasets.bag_stamps import ImageStamps
from mast3r_ros.datasets.bag_stereo import RightCamera
from mast3r_ros.datasets.bag_truth import Truth, stream
from mast3r_ros.datasets.dataset import Dataset
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.summary import (
    IGNORED,
    WITHOUT_DEPTH,
    WITHOUT_POSE,
    RecordingError,
)
from mast3r_ros.frame import Frame, read_mask
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.depth import fit_depth
from mast3r_ros.geometry.frame_tree import TransformError
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.messages import conversions, images

# Depth of an image is what was taken within so much of it [ns].
_MAX_DIFFERENCE = 20_000_000
_IMAGES, _DEPTHS = "images", "depth"


class Bag(Dataset):
    """The images of one topic of a bag.

    Poses come from TF, or from a topic of PoseStamped, PoseWithCovarianceStamped or Odometry. They
    are those of the camera, unless the message (Odometry) or `pose_frame` names another frame that
    TF connects with it. Between two poses is interpolated. Where stamps begin again, as after a
    reset of a simulation, the runs are told apart by the times of recording.
    """

    def __init__(self, path: Path, options: SourceOptions) -> None:
        """Open a bag and read all but its images' pixels.

        Raises:
            RecordingError: not a bag, a topic is missing, or what belongs to the images is unclear.
            CameraError: the calibration file describes no camera.
        """
        super().__init__(str(path), options)
        self.path = path
        self._options = options
        self._reader = BagReader(path)
        # For depth and for images out of turn: a file is read in one order at a time.
        self._lookup: BagReader | None = None
        # The message of the image that was given out last.
        self._current: tuple[int, Raw] | None = None
        self._mask = None if options.mask is None else read_mask(options.mask)
        try:
            self._read_index()
        except RecordingError as error:
            if str(path) in str(error):
                raise
            raise RecordingError(f"{path}: {error}") from error

    def _read_index(self) -> None:
        options = self._options
        self._topics = Topics.of(self._reader, options)
        index = Index(self._reader, self._topics, options, self.summary)
        self._images = index.images
        self.summary.images = len(self._images)
        runs = self._runs = Runs(_streams(index))
        self._stamps = ImageStamps(
            self._topics.image, self._images, partial(runs.of, _IMAGES), self.summary
        )
        for record, back in runs.breaks():
            self.summary.note(
                IGNORED,
                f"recorded at {record / 1e9:.3f} s",
                f"time jumped back by {back / 1e9:.3f} s: poses are not interpolated across",
            )
        self._depths = _by_run(index.depths, runs)
        frame_id = self._images[0].frame_id
        self._camera: Camera | Calibrations
        if options.camera is not None:
            self._camera = Camera.from_yaml(options.camera, options.rectified)
        else:
            self._camera = self._calibrations(index, frame_id)
            frame_id = frame_id or self._camera.frame_id
        # Of images that name no frame.
        self._frame_id = frame_id
        self._right = self._right_camera(index)
        self._truth = Truth(index, runs, options, self.summary)
        self._truth.check_optical(self._topics.image, frame_id)
        if self._stamps.twins and self._truth.contradictions:
            raise RecordingError(
                f"{self._stamps.twins} images of {self._topics.image} have the time of others, and "
                f"{self._truth.contradictions} poses contradict others: runs of a reset "
                "simulation, recorded in simulated time, cannot be told apart; record in wall time"
            )

    def _calibrations(self, index: Index, frame_id: str) -> Calibrations:
        options, topic = self._options, self._topics.image
        rectified = options.rectified or conversions.is_rectified(topic)
        found = read_calibrations(index.infos, self._runs, rectified, self.summary)
        if not index.infos:
            raise RecordingError("there is no sensor_msgs/CameraInfo: give --camera")
        if options.camera_info_topic is not None and found[0].cameras:
            return found[0]
        return choose(topic, frame_id, self._first_size(), found)

    def _right_camera(self, index: Index) -> RightCamera | None:
        """What gives the images their depth where they are the left ones of a stereo pair."""
        if self._options.right_topic is None:
            return None
        camera = self._camera
        first = camera.cameras[0][1] if isinstance(camera, Calibrations) else camera
        return RightCamera(self._options.right_topic, index.infos, first)

    def _first_size(self) -> ImageSize:
        raw = next(self._reader.messages([self._topics.image]))
        message = deserialize(raw)
        if raw.kind == COMPRESSED:
            try:
                return images.compressed_size(message)
            except images.ImageError as error:
                raise RecordingError(f"{raw.topic}: {error}") from error
        return ImageSize(message.width, message.height)

    @property
    def tf_topic(self) -> str:
        """Where the TF of the images is; empty where the bag has none."""
        return self._topics.tf

    def __len__(self) -> int:
        """Number of images, with and without a pose."""
        return len(self._images)

    def __iter__(self) -> Iterator[PosedImage]:
        """All images, in the order in which they were recorded."""
        seen: set[str] = set()
        for number, raw in enumerate(self._reader.messages([self._topics.image])):
            entry = self._images[number]
            if number in self._stamps.refused:
                continue
            run = self._runs.of(_IMAGES, entry.record)
            name = f"{entry.stamp / 1e9:.3f}" + (f" (run {run + 1})" if run else "")
            name = f"{name} #{number}" if name in seen else name
            seen.add(name)
            self._current = number, raw
            pose = self._pose(name, run, entry)
            load = partial(self._load, number, run, name)
            yield PosedImage(name, pose, load, entry.stamp, entry.record, self.summary)

    def root(self, image: PosedImage, frame_id: str) -> tuple[str, Pose]:
        """The root of TF above a frame, and root <- frame at an image's stamp.

        The frame itself, and no motion, where TF does not know it then.
        """
        run = self._runs.of(_IMAGES, image.recorded)
        return self._truth.root(run, frame_id, image.stamp)

    def _pose(self, name: str, run: int, entry: Stamped) -> Pose | None:
        """map <- camera of an image; None, counted, where it is not known."""
        try:
            return self._truth.find(run, entry.frame_id or self._frame_id, entry.stamp)
        except TransformError as error:
            self.summary.note(WITHOUT_POSE, name, str(error))
            return None

    def _load(self, number: int, run: int, name: str, with_depth: bool) -> Frame:
        entry, raw = self._images[number], self._raw(number)
        convert = images.decompress if raw.kind == COMPRESSED else images.to_rgb
        image = convert(deserialize(raw), self._options.max_megapixels)
        camera = self._camera
        if isinstance(camera, Calibrations):
            camera = camera.at(run, entry.stamp)
        depth = None
        if with_depth and self._topics.depth:
            depth = self._depth(run, entry.stamp, name, image)
            depth = None if depth is None else fit_depth(depth, ImageSize(*image.shape[1::-1]))
        frame_id = self._options.camera_frame or entry.frame_id or self._frame_id or "camera"
        return Frame(image, camera, entry.stamp, frame_id, depth, self._mask)

    def _raw(self, number: int) -> Raw:
        """The message of an image, read again if it was not given out last."""
        if self._current is not None and self._current[0] == number:
            return self._current[1]
        return self._read_again(self._topics.image, self._images[number])

    def _read_again(self, topic: str, entry: Stamped) -> Raw:
        if self._lookup is None:
            self._lookup = self._reader.again()
        for raw in self._lookup.messages([topic], entry.record, entry.record + 1):
            if self._options.use_record_times or header(raw)[0] == entry.stamp:
                return raw
        raise RecordingError(
            f"{topic}: the message of {entry.record} has gone; did the bag change?"
        )

    def _depth(
        self, run: int, stamp: int, name: str, image: NDArray[np.uint8]
    ) -> NDArray[np.float32] | None:
        """Depth [m] of an image at a stamp; None, counted, where there is none."""
        times, entries = self._depths.get(run, (np.zeros(0, np.int64), []))
        row = nearest(times, stamp, _MAX_DIFFERENCE)
        if row is None:
            reason = f"none on {self._topics.depth} within {_MAX_DIFFERENCE / 1e9:g} s"
            self.summary.note(WITHOUT_DEPTH, name, reason)
            return None
        raw = self._read_again(self._topics.depth, entries[row])
        most = self._options.max_megapixels
        if self._right is not None:
            to_rgb = images.decompress if raw.kind == COMPRESSED else images.to_rgb
            depth = self._right.depth(image, to_rgb(deserialize(raw), most))
        else:
            convert = images.decompress_depth if raw.kind == COMPRESSED else images.to_depth
            depth = convert(deserialize(raw), most)
        if not (np.isfinite(depth) & (depth > 0)).any():
            reason = f"that on {self._topics.depth} holds no value above zero"
            self.summary.note(WITHOUT_DEPTH, name, reason)
            return None
        return depth


def _streams(index: Index) -> dict[str, Stream]:
    """What is in the order of time by itself; stamps of zero are none."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for name, entries in ((_IMAGES, index.images), (_DEPTHS, index.depths)):
        found[name] = [(e.record, e.stamp) for e in entries if e.stamp]
    for t in (*index.transforms, *index.poses):
        if not t.static:
            found[stream(t)].append((t.record, t.stamp))
    for topic, infos in index.infos.items():
        found[topic] = [(e.record, e.stamp) for e, _ in infos if e.stamp]
    return dict(found)


def _by_run(
    entries: list[Stamped], runs: Runs
) -> dict[int, tuple[NDArray[np.int64], list[Stamped]]]:
    """Times and entries of depth images in order, by run."""
    grouped: dict[int, list[Stamped]] = defaultdict(list)
    for entry in sorted(entries, key=lambda e: e.stamp):
        grouped[runs.of(_DEPTHS, entry.record)].append(entry)
    return {run: (np.array([e.stamp for e in es], np.int64), es) for run, es in grouped.items()}
