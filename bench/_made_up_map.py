# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Maps of made-up keyframes, of any number and size, for what does not look at images."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frame import Frame
from mast3r_ros.frontends.features import FeatureDescription
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose
from mast3r_ros.keyframes.database import FILE
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.store import pack_entry

WIDTH, HEIGHT = 640, 480
# As of `sift`; a keyframe of 950 features takes 0.3 MB with its thumbnail.
_LENGTH, FEATURES = 560, 950
# Keyframes that look alike, numbers in which their looks differ, side of the floor [m].
_ALIKE, _LATENT, _FLOOR = 20, 40, 300.0
# Keyframes that are saved at a time.
_BATCH = 1000


class MadeUp:
    """Keyframes with looks and places: every so many of them look alike and stand together."""

    def __init__(self, count: int, features: int = FEATURES) -> None:
        """Of `count` keyframes with `features` each."""
        chance = np.random.default_rng(0)
        places = -(-count // _ALIKE)
        self._looks = chance.normal(size=(places, _LATENT))
        self._centers = chance.uniform(0.0, _FLOOR, size=(places, 2))
        self._mix = chance.normal(size=(_LATENT, _LENGTH)) / np.sqrt(_LATENT)
        self._chance = chance
        # Of large patches: its thumbnail is as small as a photograph's.
        image = chance.integers(0, 256, (HEIGHT // 40, WIDTH // 40, 3), np.uint8)
        camera = Camera(WIDTH, HEIGHT, 525.0, 525.0, 319.5, 239.5)
        depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
        self.frame = Frame(image.repeat(40, 0).repeat(40, 1), camera, depth=depth)
        descriptors = chance.normal(size=(features, 128))
        descriptors /= np.linalg.norm(descriptors, axis=1)[:, None]
        keypoints = chance.uniform(0, HEIGHT, size=(features, 2)).astype(np.float32)
        self._features = {
            "keypoints": keypoints,
            "descriptors": descriptors.astype(np.float16),
            "scores": np.ones(features, np.float32),
            "points": camera.unproject(keypoints, np.full(features, 2.0)).astype(np.float32),
            "depth_sigma": np.full(features, 0.01, np.float32),
            "size": np.array([WIDTH, HEIGHT]),
        }

    def look(self, place: int) -> NDArray[np.float32]:
        """A global descriptor (G,) of an image at a place."""
        latent = self._looks[place] + 0.5 * self._chance.normal(size=_LATENT)
        values = latent @ self._mix + 0.3 * self._chance.normal(size=_LENGTH)
        return (values / np.linalg.norm(values)).astype(np.float32)

    def pose(self, place: int) -> Pose:
        """Where such an image is taken, looking anywhere."""
        turn = self._chance.uniform(-np.pi, np.pi)
        rotation = np.array(
            [[np.sin(turn), 0.0, np.cos(turn)], [-np.cos(turn), 0.0, np.sin(turn)], [0, -1.0, 0]]
        )
        x, y = self._centers[place] + self._chance.normal(scale=1.0, size=2)
        return transforms.make(rotation, [x, y, 1.0])

    def described(self, place: int) -> FeatureDescription:
        """A description of an image at a place."""
        return FeatureDescription(self.look(place), **self._features)

    @property
    def places(self) -> int:
        """How many places there are."""
        return len(self._looks)


def build(path: Path, count: int, features: int = FEATURES) -> Iterator[int]:
    """Save a map of so many keyframes; gives the number that is saved so far."""
    made_up = MadeUp(count, features)
    keyframes = KeyframeMap(SiftFrontEnd(), cache_mb=0)
    for number in range(count):
        place = number % made_up.places
        keyframes.add(made_up.frame, made_up.pose(place), made_up.described(place))
        if (number + 1) % _BATCH == 0 or number + 1 == count:
            keyframes.save(path)
            yield number + 1


def multiply(path: Path, count: int, features: int = FEATURES) -> Iterator[int]:
    """Save a map of so many keyframes whose contents are all those of its first; gives the number.

    Row by row, in a tenth of the time of `build`: looks and places differ as there.
    """
    list(build(path, 1, features))
    made_up = MadeUp(count)
    with closing(sqlite3.connect(path / FILE, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for start in range(1, count, _BATCH):
            ids = range(start, min(start + _BATCH, count))
            places = [number % made_up.places for number in ids]
            entries = [pack_entry(made_up.pose(p), made_up.look(p)) for p in places]
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO keyframe SELECT ?, flags, ?, ?, about, about_crc FROM keyframe "
                "WHERE id = 0",
                [(i, entry, zlib.crc32(entry)) for i, entry in zip(ids, entries, strict=True)],
            )
            connection.executemany(
                "INSERT INTO contents SELECT ?, arrays, thumbnail FROM contents WHERE id = 0",
                [(i,) for i in ids],
            )
            connection.execute("COMMIT")
            yield ids[-1] + 1
        connection.execute("UPDATE meta SET value = ? WHERE name = 'next_id'", (count,))
