# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pairs of rendered views: that their depth, poses and overlap are true, and always the same."""

import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest
from untraced import untraced_environment

from mast3r_ros.common.size import ImageSize
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.overlap import depth_at, overlap, reproject
from mast3r_ros.training.worlds import PairSource, __main__

pytest.importorskip("moderngl")

_LIMITS = 0.3, 0.8
# fmt: off
_FIRST_PAIR = [
    61, 55, 62, 98, 95, 111, 88, 95, 94, 59, 52, 56,
    75, 76, 79, 77, 97, 89, 23.1, 289.2, 156.4, 170.1, -80.4, 5.9,
    -59.2, 94, 93, 108, 78, 85, 83, 98, 136, 123, 70, 72,
    77, 95, 123, 113, 105, 122, 96, 26.3, 303.6, 215.3, 172.7, -59.2,
    34.2, -73.0,
]
# fmt: on


@pytest.fixture(scope="module")
def source():
    return PairSource(
        5, size=ImageSize(128, 96), min_overlap=_LIMITS[0], max_overlap=_LIMITS[1], augment=0
    )


@pytest.fixture(scope="module")
def pairs(source):
    # Of 10 rooms, the last upright.
    return [source.pair(i, portrait=i > 7) for i in range(10)]


def _motion(pair):
    return transforms.inverse(pair.query.pose) @ pair.reference.pose


def _visible(pair):
    """Reference pixels, and where the query sees the same point by its own depth, (N, 2) each."""
    reference, query = pair.reference, pair.query
    height, width = reference.depth.shape
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2)
    there = reproject(pixels, reference.depth, reference.camera, query.camera, _motion(pair))
    points = reference.camera.unproject(pixels, reference.depth.ravel())
    z = transforms.apply(_motion(pair), points)[:, 2]
    with np.errstate(invalid="ignore"):
        same = np.abs(depth_at(query.depth, there) - z) < 0.03 * z
    return pixels[same], there[same]


def test_views_are_what_was_asked_for(pairs):
    for i, pair in enumerate(pairs):
        for view in (pair.reference, pair.query):
            height, width = (128, 96) if i > 7 else (96, 128)
            assert view.image.shape == (height, width, 3)
            assert view.image.dtype == np.uint8
            assert view.depth.shape == (height, width)
            assert view.depth.dtype == np.float32
            assert (view.camera.width, view.camera.height) == (width, height)
            assert transforms.is_rigid(view.pose)
            field = 2 * np.rad2deg(np.arctan(64 / view.camera.fx))
            assert 45 <= field <= 90
            known = view.depth[np.isfinite(view.depth)]
            assert known.size > 0.5 * view.depth.size
            assert known.min() > 0.05


def test_correspondences_lead_back_to_where_they_came_from(pairs):
    for pair in pairs:
        pixels, there = _visible(pair)
        assert len(pixels) > 0.5 * pair.overlap * pair.reference.depth.size
        back = reproject(
            there,
            pair.query.depth,
            pair.query.camera,
            pair.reference.camera,
            transforms.inverse(_motion(pair)),
        )
        error = np.hypot(*(back - pixels).T)
        assert np.nanmedian(error) < 0.02
        assert np.nanpercentile(error, 95) < 0.5


def test_correspondences_look_alike(pairs):
    differences, others = [], []
    for pair in pairs:
        pixels, there = _visible(pair)
        here = pair.reference.image[pixels[:, 1], pixels[:, 0]].astype(float)
        x, y = there.astype(np.float32).T
        found = cv2.remap(pair.query.image, x[None], y[None], cv2.INTER_LINEAR)[0].astype(float)
        differences.append(np.abs(found - here).mean(1))
        others.append(np.abs(np.roll(found, len(found) // 2, 0) - here).mean(1))
    assert np.median(np.concatenate(differences)) < 5
    assert np.median(np.concatenate(others)) > 20


def test_the_first_version_is_what_it_was(source, pairs):
    """Old and new figures compare: neither what is drawn nor the order of it may change."""
    assert _fingerprint(pairs[0]) == pytest.approx(_FIRST_PAIR, abs=0.5)


def _fingerprint(pair):
    """Of images, depths [0.1 m] and poses, as far as renderers agree."""
    views = (pair.reference, pair.query)
    found = []
    for view in views:
        found += cv2.resize(view.image, (3, 2), interpolation=cv2.INTER_AREA).ravel().tolist()
        found += [10 * np.nanmean(view.depth), *(100 * view.pose[:3, 3]), *(100 * view.pose[0, :3])]
    return found


def test_the_overlap_is_true_and_within_its_limits(pairs):
    for pair in pairs:
        reference, query = pair.reference, pair.query
        told = overlap(reference.depth, query.depth, reference.camera, query.camera, _motion(pair))
        assert pair.overlap == told
        assert _LIMITS[0] <= told <= _LIMITS[1]


def test_cameras_move_and_turn(pairs):
    distance = [np.linalg.norm(_motion(pair)[:3, 3]) for pair in pairs]
    assert np.median(distance) > 0.1
    # Upright: the world's up is up in the image.
    for pair in pairs:
        assert pair.reference.pose[2, 1] < -0.5


def _digest(pair):
    arrays = (pair.reference.image, pair.query.image, pair.query.depth, pair.query.pose)
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def test_another_process_that_begins_elsewhere_makes_the_same():
    source = PairSource(9)
    digests = [_digest(source.pair(i)) for i in (3, 21, 200)]
    assert len(set(digests)) == 3
    script = (
        "from test_training_worlds import PairSource, _digest; source = PairSource(9);"
        "print(*[_digest(source.pair(i)) for i in (200, 3, 21)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, 'test'); {script}"],
        env=untraced_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [digests[2], digests[0], digests[1]]


def test_sources_do_not_disturb_one_another(source, pairs):
    other = PairSource(5, "held-out", min_overlap=_LIMITS[0], max_overlap=_LIMITS[1], augment=0)
    strange = other.pair(0)
    assert _digest(source.pair(1)) == _digest(pairs[1])
    assert _digest(other.pair(0)) == _digest(strange)
    # Held out: another room, other textures.
    assert _digest(strange) != _digest(pairs[0])


def test_flaws_leave_the_geometry_alone(pairs):
    flawed = PairSource(5, min_overlap=_LIMITS[0], max_overlap=_LIMITS[1]).pair(0)
    assert np.array_equal(flawed.reference.pose, pairs[0].reference.pose)
    assert np.array_equal(flawed.query.depth, pairs[0].query.depth, equal_nan=True)
    assert not np.array_equal(flawed.query.image, pairs[0].query.image)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_overlap": 0.9, "max_overlap": 0.5}, "overlap from 0.9 to 0.5"),
        ({"wildness": 2}, "wildness 2"),
        ({"split": "test"}, "split 'test': known are train, held-out"),
    ],
)
def test_arguments_without_a_meaning_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        PairSource(0, **wrong)


def test_pictures_of_pairs(tmp_path):
    __main__.worlds(tmp_path, count=2, size="64x48", augment=0)
    (picture,) = tmp_path.iterdir()
    image = cv2.imread(str(picture))
    assert image.shape == (2 * 48, 4 * 64, 3)
    assert image.std() > 10
