# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered drives: determined by the seed, a black-out, a robot that is carried away; figures."""

import json
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from test_cli import told

pytest.importorskip("moderngl", reason="rooms are rendered by requirements/train.txt")

from mast3r_ros.cli.drives import DriveOptions
from mast3r_ros.cli.options import OFFLINE
from mast3r_ros.common.size import ImageSize
from mast3r_ros.evaluation.benchmarks.base import BenchmarkError
from mast3r_ros.evaluation.benchmarks.runner import RunFolder
from mast3r_ros.evaluation.drive_figures import Step, drive_figures
from mast3r_ros.evaluation.drives import WINDOW, Rig, _odometry, rigs_of, run
from mast3r_ros.evaluation.filtered import Tracked
from mast3r_ros.evaluation.odometry import SimulatedOdometry
from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.driven_scale import DrivenScale
from mast3r_ros.localization.map_odom import FilterState
from mast3r_ros.localization.metric_scale import MetricScale
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.view import View
from mast3r_ros.training.worlds import cameras
from mast3r_ros.training.worlds.drives import DriveWorld
from mast3r_ros.training.worlds.renderer import NoOpenGL
from mast3r_ros.training.worlds.routes import PERIOD, Event
from mast3r_ros.training.worlds.textures import TexturesMissing

_MOMENTS = 52


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


def test_further_moments_change_nothing_before_them(world, drive):
    longer = world.drive(3, 2, _MOMENTS, further=4)

    assert len(longer.moments) == len(drive.moments) + 4
    for one, other in zip(drive.moments, longer.moments[:-4], strict=True):
        np.testing.assert_array_equal(one.body, other.body)
        assert one.event == other.event
    assert not any(moment.event or moment.dark for moment in longer.moments[-4:])
    steps = [transforms.distance(*pair) for pair in pairwise(m.body for m in longer.moments[-5:])]
    assert max(steps) < 0.2
    for one, other in zip(drive.keyframes, longer.keyframes, strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_a_tour_visits_rooms_again_on_other_ways(world):
    tour = world.tour(1, (0, 2, 0), 5)

    assert [moment.room for moment in tour.moments] == [0] * 5 + [2] * 5 + [0] * 5
    assert [m.stamp for m in tour.moments] == [400_000_000 * (i + 1) for i in range(15)]
    assert tour.rooms[0][1][:2] == pytest.approx([0.0, 0.0])
    away = [transforms.distance(tour.moments[4].body, tour.moments[i].body) for i in (5, 10)]
    assert away[0] > 2.0
    assert away[1] < 12.0
    for (model, offset), moment in ((tour.rooms[m.room], m) for m in tour.moments):
        inside = moment.body[:3, 3] - offset
        assert (inside[:2] > 0).all()
        assert (inside[:2] < model.room.size[:2]).all()
    other = world.tour(1, (0,), 5, number=1)
    np.testing.assert_array_equal(other.rooms[0][0].room.vertices, tour.rooms[0][0].room.vertices)
    assert not np.array_equal(other.moments[0].body, tour.moments[0].body)
    _, (view,) = next(iter(other.views()))
    assert np.isfinite(view.depth).mean() > 0.9


def test_the_robot_drives_in_free_space_and_is_bumped_and_carried_once(drive):
    events = {i: moment.event for i, moment in enumerate(drive.moments) if moment.event}
    assert events == {
        0: Event.START,
        13: Event.DARK,
        25: Event.LIGHT,
        26: Event.BUMP,
        34: Event.CARRIED,
    }
    for before, now in zip(drive.moments, drive.moments[1:], strict=False):
        way = transforms.distance(before.body, now.body)
        assert now.stamp - before.stamp == 400_000_000
        if now.event is Event.CARRIED:
            assert way > 1.0
        elif now.event is Event.BUMP:
            assert 0.05 - 0.16 < way < 0.15 + 0.16
        else:
            assert way <= 0.16 + 1e-9
    for moment in drive.moments:
        for mount in drive.mounts:
            assert cameras.is_free(drive.rooms[0][0].room, (moment.body @ mount)[:3, 3])


def test_both_cameras_look_to_opposite_sides_and_see_nothing_in_the_dark(drive):
    front, back = (mount[:3, 2] for mount in drive.mounts)
    assert front[:2] @ back[:2] == pytest.approx(-1.0, abs=0.01)
    for moment, views in drive.views():
        assert len(views) == 2
        assert (max(view.image.max() for view in views) == 0) == moment.dark
    assert sum(moment.dark for moment in drive.moments) == 12


def test_odometry_knows_nothing_of_being_bumped_and_carried(drive):
    odometry = list(_odometry(drive, 0))

    for before, now, there, here in zip(
        drive.moments, drive.moments[1:], odometry, odometry[1:], strict=False
    ):
        moved = transforms.inverse(there) @ here
        truth = transforms.inverse(before.body) @ now.body
        if now.event is not None and now.event.is_unnoticed:
            np.testing.assert_allclose(moved, np.eye(4), atol=1e-12)
        else:
            assert transforms.distance(moved, truth) < 0.03


def test_in_twin_rooms_the_robot_goes_blind_through_a_door_to_the_other_one(world):
    drive = world.drive(6, 1, 60, twin=True)

    assert len(drive.keyframes) == 64
    (first, _), (second, offset) = drive.rooms
    assert first.room.solids.shape == second.room.solids.shape
    door = next(i for i, m in enumerate(drive.moments) if m.event is Event.DOOR)
    assert all(m.dark and m.room == 0 for m in drive.moments[39:door])
    assert {m.room for m in drive.moments[door:]} == {1}
    passed = drive.moments[door].body[:3, 3] - drive.moments[39].body[:3, 3]
    np.testing.assert_allclose(passed, offset)
    # The same place of both rooms looks alike, but for the cartons.
    pose = drive.keyframes[0].pose
    there = transforms.make(pose[:3, :3], pose[:3, 3] + offset)
    model = drive.rooms[1][0]
    color = world.renderer.color
    alike = color(first, world.camera, pose) == color(
        model, world.camera, transforms.make(there[:3, :3], there[:3, 3] - offset)
    )
    assert 0.3 < alike.mean() <= 1.0


def test_a_drive_is_localized_until_it_is_dark(world):
    whole = world.drive(5, 1, _MOMENTS)
    drive = replace(whole, moments=whole.moments[:16])

    (steps,) = run(drive, 5, create("sift"), RelocalizerOptions(), [Rig((0,))])
    steps = [Step.from_record(step.as_record()) for step in steps]

    figures = drive_figures([steps])
    assert (figures["drives"], figures["moments"]) == (1, 16)
    # A wall that looks like another one of this room makes a few images ambiguous.
    assert figures["localized"] > 0.6
    assert (figures["wrong_fixes"], figures["wrong_believed"]) == (0, 0)
    assert figures["filtered"]["ate_m"] < 0.1
    assert figures["events"]["black-out"]["moments"] == 3
    # The images of the seconds before it do not localize a black one.
    assert figures["events"]["black-out"]["images_to_fix"] is None


def test_of_several_cameras_each_is_tried_alone_and_one_is_unplugged():
    rigs = rigs_of(3)

    assert list(rigs) == ["all", "camera 0 unplugged", "camera 0", "camera 1", "camera 2"]
    assert rigs["camera 0 unplugged"].at(0.4) == [0, 1, 2]
    assert rigs["camera 0 unplugged"].at(0.5) == [1, 2]
    assert list(rigs_of(1)) == ["all"]


def _step(stamp, filtered=None, event=None, fix=None, believed=False, dark=False):
    covariance = np.diag([0.01**2] * 3 + [0.01**2] * 3)

    def at(x):
        return None if x is None else (transforms.make(np.eye(3), [x, 0, 0]), covariance)

    tracked = Tracked(stamp * 10**9, np.eye(4), believed, FilterState.LOCALIZED, at(filtered))
    return Step(tracked, event, dark, at(fix))


def test_figures_count_what_is_wrong_and_how_long_recovery_takes():
    steps = [
        _step(1, 0.01, Event.START, fix=0.01, believed=True),
        _step(2, 0.03, Event.DARK, dark=True),
        _step(3, 0.04, dark=True),
        _step(4, 2.0, Event.CARRIED, fix=2.0),
        _step(5, 2.0, fix=0.0),
        _step(6, 0.01, fix=0.0, believed=True),
    ]

    found = drive_figures([steps])

    assert (found["wrong_fixes"], found["wrong_believed"]) == (1, 0)
    assert found["nees"] == pytest.approx(1 / 3)
    assert found["localized"] == 1.0
    carried = found["events"]["carried away"]
    assert (carried["found"], carried["images_to_find"], carried["images_to_fix"]) == (1, 3, 3)
    # 0.03 m are 3 standard deviations, 0.04 m are 4.
    assert found["events"]["black-out"]["coverage"] == 0.5
    # Until it is found, the filter cannot know where the robot is.
    assert found["filtered"]["nees"] == pytest.approx((1 + 9 + 16 + 1) / 4)
    # In the second of the black-out it moves by 1 cm; no motion leads from one event to the next.
    assert found["filtered"]["rpe_m"] == pytest.approx(0.01)
    assert found["filtered"]["ate_m"] == pytest.approx(np.sqrt((1 + 9 + 16 + 1) / 4) / 100)


def test_a_bump_is_overcome_once_a_pose_is_believed():
    # The filter's pose stays within 25 cm all the time.
    steps = [
        _step(1, 0.0, Event.START, fix=0.0, believed=True),
        _step(2, 0.1, Event.BUMP, fix=0.0),
        _step(3, 0.1, fix=0.0),
        _step(4, 0.0, fix=0.0, believed=True),
    ]

    bump = drive_figures([steps])["events"]["bump"]

    assert (bump["found"], bump["images_to_find"]) == (1, 3)
    assert bump["nees"] == 0.0


def test_a_run_directory_resumes_and_belongs_to_its_options(tmp_path):
    def steps(error):
        return [
            _step(1, error, Event.START, fix=error, believed=True).as_record(),
            _step(2, error, fix=error, believed=True).as_record(),
        ]

    out, file = tmp_path / "run", tmp_path / "drives.json"
    options = OFFLINE
    chosen = {k: v for k, v in asdict(DriveOptions()).items() if k not in ("drives", "seed")}
    about = {**chosen, "front_end": "sift", "options": asdict(options)}
    records = ({"query": str(i), "steps": {"all": steps(0.01 * i)}} for i in range(2))
    assert len(list(RunFolder(out, about).append(records))) == 2
    arguments = ["evaluate", "drives", "--drives", 2, "--front-end", "sift", "--out", out]

    printed = told(*arguments, "--json", file)

    figures = json.loads(file.read_text())["figures"]["all"]
    assert figures["drives"] == 2
    assert figures["error_m"] == pytest.approx(0.005)
    assert figures["events"]["start"]["found"] == 2
    assert "After each event" in printed
    with pytest.raises(BenchmarkError, match="size"):
        told(*arguments, "--size", "160x120")


def _shrunk(pose):
    """In a world of half the size, which looks the same."""
    return transforms.make(pose[:3, :3], pose[:3, 3] / 2)


def _aside(world, drive):
    """Ways of 0.8 m past keyframes, full size; each of five images with their poses."""
    (model, offset), random = drive.rooms[0], np.random.default_rng(0)
    for keyframe in drive.keyframes:
        way = [
            keyframe.pose @ transforms.perturb(np.eye(4), [x, 0, 0.3 * x, 0, 0.1 * x, 0])
            for x in (-0.4, -0.2, 0.0, 0.2, 0.4)
        ]
        if all(cameras.is_free(model.room, pose[:3, 3]) for pose in way):
            yield keyframe, [world.view(random, model, offset, pose) for pose in way]


def test_a_dolls_house_fools_a_robot_no_longer_once_it_has_driven(world):
    front_end = create("mast3r", options=Mast3rOptions("torch", "nano", device="cpu"))
    # A single keyframe has its meters from the network alone; exactness is not what is asked here.
    options = RelocalizerOptions(max_position_sigma=1.0, max_rotation_sigma=1.0)
    scale, odometry, stamp, seen = MetricScale(), SimulatedOdometry(WINDOW, 0), 0, []
    for keyframe, views in _aside(world, world.drive(5, 1, _MOMENTS)):
        keyframes = KeyframeMap(front_end)
        keyframes.add(Frame(keyframe.image, keyframe.camera), _shrunk(keyframe.pose))
        relocalizer = Relocalizer(keyframes, options)
        driven = DrivenScale(front_end, scale)
        for view in views:
            stamp += PERIOD
            query = View(Frame(view.image, view.camera, stamp))
            odom_camera = odometry.at(stamp, _shrunk(view.pose))
            matched = relocalizer.match(query, None, {})
            driven.take(matched, odom_camera, stamp, WINDOW.covariance_over, {})
        seen.append((relocalizer, views[-1]))
        if scale.known:
            break
    assert scale.known
    assert abs(np.log(scale.factor / 0.5)) < 2 * scale.sigma + 0.1  # the network's own error

    for relocalizer, view in seen[:2]:
        query, truth = Frame(view.image, view.camera), _shrunk(view.pose)
        fooled = relocalizer.localize(query)
        relocalizer.scale = scale
        right = relocalizer.localize(query)

        assert transforms.distance(fooled.pose, truth) > 0.15
        assert transforms.distance(right.pose, truth) < 0.1
        assert transforms.distance(right.pose, truth) < right.protection_position
