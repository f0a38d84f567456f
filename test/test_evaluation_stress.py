# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Each disturbance does what its name says, and the same again with the same seed."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import camera_pose, view

from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.evaluation import stress
from mast3r_ros.geometry import transforms


@pytest.fixture(scope="module")
def frame():
    return view(camera_pose())


@pytest.fixture
def random():
    return np.random.default_rng(3)


def test_a_pose_is_off_by_exactly_that_much(random):
    pose = camera_pose(0.3, turn=0.4)

    moved = [stress.move(pose, random, 0.02, 1.0) for _ in range(3)]

    for other in moved:
        assert transforms.distance(pose, other) == pytest.approx(0.02)
        assert transforms.rotation_angle(pose, other) == pytest.approx(np.deg2rad(1.0))
    assert transforms.distance(moved[0], moved[1]) > 1e-3


def test_depth_moves_to_the_right(frame, random):
    shifted = stress.shift_depth(frame, random, 4).depth

    assert np.isnan(shifted[:, :4]).all()
    np.testing.assert_array_equal(shifted[:, 4:], frame.depth[:, :-4])


def test_depth_noise_grows_with_the_square(frame, random):
    far = np.full_like(frame.depth, 3.0)
    far[:, :160] = 1.0

    noisy = stress.add_depth_noise(replace(frame, depth=far), random, 0.005).depth

    assert noisy.dtype == np.float32
    assert noisy[:, :160].std() == pytest.approx(0.005, rel=0.05)
    assert noisy[:, 160:].std() == pytest.approx(0.045, rel=0.05)


def test_a_focal_length_is_scaled(frame, random):
    camera = stress.scale_focal(frame, random, 1.02).camera

    assert (camera.fx, camera.fy) == pytest.approx((306.0, 306.0))
    assert (camera.cx, camera.width) == (frame.camera.cx, frame.camera.width)


def test_exposure_is_light_and_is_clipped(frame, random):
    gray = replace(frame, image=np.full_like(frame.image, 128))

    one, two = (stress.expose(gray, random, stops).image for stops in (-1.0, 3.0))

    np.testing.assert_array_equal(one, round(128 * 0.5 ** (1 / 2.2)))
    np.testing.assert_array_equal(two, 255)


def test_motion_blur_smears_a_point_over_its_length(frame, random):
    black = np.zeros_like(frame.image)
    black[120, 160] = 255

    blurred = stress.blur(replace(frame, image=black), random, 0.05).image[..., 0]

    rows, columns = np.nonzero(blurred)
    assert np.hypot(np.ptp(rows), np.ptp(columns)) == pytest.approx(0.05 * 320, abs=2)
    assert int(blurred.sum()) == pytest.approx(255, abs=20)
    assert (rows.mean(), columns.mean()) == pytest.approx((120, 160), abs=0.6)


def test_a_body_is_the_same_in_every_image(frame, random):
    other = view(camera_pose(0.5))

    one, two = (stress.add_body(f, random, 0.12) for f in (frame, other))

    np.testing.assert_array_equal(one.image[-29:], two.image[-29:])
    assert one.image[-29:].std() > 20
    np.testing.assert_array_equal(one.image[:-29], frame.image[:-29])
    assert one.depth[-1].max() == pytest.approx(0.5)
    np.testing.assert_array_equal(one.depth[:-29], frame.depth[:-29])


def test_a_mask_covers_the_body_and_what_was_covered(frame, random):
    own = np.full((240, 320), 255, np.uint8)
    own[:10] = 0

    mask = stress.add_masked_body(replace(frame, mask=own), random, 0.12).mask

    assert not mask[:10].any()
    assert not mask[-29:].any()
    assert mask[10:-29].all()
    assert own[-1].all()


def test_half_the_resolution_sees_the_same(frame, random):
    small = stress.halve(replace(frame, mask=frame.depth > 2.5), random)

    assert small.size == (160, 120)
    points = frame.camera.unproject([[100.0, 60.0], [30.0, 200.0]], [2.0, 3.0])
    expected = (frame.camera.project(points) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(small.camera.project(points), expected)
    assert small.depth.shape == small.mask.shape == (120, 160)


def test_rows_are_repeatable_and_leave_the_truth_of_queries_alone(frame):
    images = [PosedImage(f"{i}", camera_pose(0.1 * i), lambda _: frame) for i in range(2)]
    for row in stress.PERTURBATIONS:
        first, again = (list(row.keyframes(images, seed=5)) for _ in range(2))
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a.pose, b.pose)
            np.testing.assert_array_equal(a.load(True).image, b.load(True).image)
            np.testing.assert_array_equal(a.load(True).depth, b.load(True).depth)
        for image, query in zip(images, row.queries(images, seed=5), strict=True):
            np.testing.assert_array_equal(image.pose, query.pose)


def test_every_row_but_the_first_changes_something(frame):
    image = PosedImage("0", camera_pose(), lambda _: frame)

    def changed(row):
        (keyframe,) = row.keyframes([image], seed=0)
        (query,) = row.queries([image], seed=0)
        loaded = (keyframe.load(True), query.load(True))
        same = all(
            np.array_equal(f.image, frame.image)
            and np.array_equal(f.depth, frame.depth)
            and f.camera == frame.camera
            for f in loaded
        )
        return not (same and np.array_equal(keyframe.pose, image.pose))

    assert [changed(row) for row in stress.PERTURBATIONS] == [
        row is not stress.UNPERTURBED for row in stress.PERTURBATIONS
    ]
    assert len({row.name for row in stress.PERTURBATIONS}) == len(stress.PERTURBATIONS)
