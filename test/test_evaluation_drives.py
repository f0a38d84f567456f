# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered drives: determined by the seed, a black-out, a robot that is carried away; figures."""

import numpy as np
import pytest

pytest.importorskip("moderngl", reason="rooms are rendered by requirements/train.txt")

from mast3r_ros.common.size import ImageSize
from mast3r_ros.evaluation.drives import Figures, Step, _odometry, run
from mast3r_ros.frontends import create
from mast3r_ros.geometry import transforms
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.training.worlds import cameras
from mast3r_ros.training.worlds.drives import DriveWorld
from mast3r_ros.training.worlds.renderer import NoOpenGL
from mast3r_ros.training.worlds.textures import TexturesMissing

_MOMENTS = 24


@pytest.fixture(scope="module")
def world():
    try:
        return DriveWorld(ImageSize(160, 120))
    except (NoOpenGL, TexturesMissing) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def drive(world):
    return world.drive(3, 2, _MOMENTS)


def test_a_drive_is_determined_by_its_seed(world, drive):
    again = world.drive(3, 2, _MOMENTS)

    for one, other in zip(drive.moments, again.moments, strict=True):
        np.testing.assert_array_equal(one.body, other.body)
    for (_, one), (_, other) in zip(drive.views(), again.views(), strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left.image, right.image)
        break
    assert not np.array_equal(world.drive(4, 2, _MOMENTS).moments[0].body, drive.moments[0].body)


def test_the_robot_drives_in_free_space_and_is_carried_once(drive):
    carried = [i for i, moment in enumerate(drive.moments) if moment.carried]
    assert carried == [18]
    for i, (before, now) in enumerate(zip(drive.moments, drive.moments[1:], strict=False), 1):
        way = transforms.distance(before.body, now.body)
        assert now.stamp - before.stamp == 400_000_000
        assert (way > 1.0) if i == 18 else (way <= 0.16 + 1e-9)
    for moment in drive.moments:
        for mount in drive.mounts:
            assert cameras.is_free(drive._model.room, (moment.body @ mount)[:3, 3])


def test_both_cameras_look_to_opposite_sides_and_see_nothing_in_the_dark(drive):
    front, back = (mount[:3, 2] for mount in drive.mounts)
    assert front[:2] @ back[:2] == pytest.approx(-1.0, abs=0.01)
    for moment, views in drive.views():
        assert len(views) == 2
        assert (max(view.image.max() for view in views) == 0) == moment.dark
    assert sum(moment.dark for moment in drive.moments) == 12


def test_odometry_knows_nothing_of_being_carried(drive):
    odometry = list(_odometry(drive, 0))

    for before, now, there, here in zip(
        drive.moments, drive.moments[1:], odometry, odometry[1:], strict=False
    ):
        moved = transforms.inverse(there) @ here
        truth = transforms.inverse(before.body) @ now.body
        if now.carried:
            np.testing.assert_allclose(moved, np.eye(4), atol=1e-12)
        else:
            assert transforms.distance(moved, truth) < 0.03


def test_a_drive_is_localized_and_the_robot_is_found_again(world):
    (steps,) = run(world.drive(5, 1, _MOMENTS), 5, create("sift"), RelocalizerOptions(), [(0,)])

    figures = Figures([steps]).as_dict()
    assert (figures["drives"], figures["moments"]) == (1, _MOMENTS)
    assert figures["wrong_believed"] == 0
    assert all(step.since_carried is None for step in steps[:18])
    assert [step.since_carried for step in steps[18:]] == list(range(6))


def _step(filtered=None, since=None, fix=None, believed=False, dark=False):
    covariance = np.diag([0.01**2] * 3 + [0.01**2] * 3)

    def at(x):
        return None if x is None else (transforms.make(np.eye(3), [x, 0, 0]), covariance)

    return Step(np.eye(4), dark, since, at(fix), believed, at(filtered))


def test_figures_count_what_is_wrong_and_how_long_recovery_takes():
    steps = [
        _step(fix=0.01, filtered=0.01, believed=True),
        _step(dark=True, filtered=0.03),
        _step(dark=True, filtered=0.04),
        _step(fix=2.0, filtered=2.0, since=0),
        _step(fix=0.0, filtered=2.0, since=1),
        _step(fix=0.0, filtered=0.01, since=2, believed=True),
    ]

    found = Figures([steps]).as_dict()

    assert (found["wrong_fixes"], found["wrong_believed"]) == (1, 0)
    assert (found["recovered"], found["images_to_recover"]) == (1, 3)
    assert found["localized"] == 1.0
    # 0.03 m are 3 standard deviations, 0.04 m are 4.
    assert found["dark_coverage"] == 0.5
    assert found["filtered_nees"] == pytest.approx((1 + 9 + 16) / 3)
