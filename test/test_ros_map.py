# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The map services, and what happens to a map on disk."""

import os
import resource
import shutil
import sqlite3
import time
from contextlib import closing
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from ros_robot import Robot
from ros_world import camera_pose, render
from synthetic import view
from told import ToldFrontEnd, numbered

from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.frontends.base import FrontEndError
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.keyframes import retrieval, trained_index, triangulation
from mast3r_ros.keyframes.database import FILE, FORMAT_VERSION
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.messages import conversions
from mast3r_ros.msg import RelocalizationStatus
from mast3r_ros.ros.services import Services
from mast3r_ros.ros.worker import Worker
from mast3r_ros.srv import AddKeyframe, ClearMap, LoadMap, RemoveKeyframe, SaveMap

pytestmark = pytest.mark.ros


@pytest.fixture(scope="module")
def robot():
    robot = Robot("maps")
    yield robot
    robot.finish()


def _save(robot, path=""):
    return robot.call(SaveMap, "relocalizer/save_map", path=str(path))


def _load(robot, path=""):
    return robot.call(LoadMap, "relocalizer/load_map", path=str(path))


def _build(robot, count=2):
    robot.clear()
    for i in range(count):
        robot.add(camera_pose(0.1 * i))


def _whole(path):
    """The keyframes of a map on disk, which must be whole."""
    keyframes = KeyframeMap.load(path, create("sift"))
    assert list(keyframes.verify()) == []
    return len(keyframes)


@pytest.fixture(scope="module")
def saved(robot, tmp_path_factory):
    """A folder with a map of two keyframes."""
    path = tmp_path_factory.mktemp("saved") / "map"
    _build(robot)
    assert _save(robot, path).success
    return path


def test_no_path_yet():
    """Asked of a node that has neither loaded nor saved: one that is not active, either."""
    robot = Robot("no_path", autostart=False)
    try:
        answer = _save(robot)
        assert not answer.success
        assert "not configured" in answer.message
    finally:
        robot.close()


def test_save_clear_load(robot, tmp_path):
    _build(robot, 3)
    answer = _save(robot, tmp_path / "map")
    assert (answer.success, answer.keyframes) == (True, 3)
    assert answer.path == str(tmp_path / "map")

    cleared = robot.call(ClearMap, "relocalizer/clear_map")
    assert (cleared.success, cleared.removed) == (True, 3)
    assert robot.look(camera_pose()).state == RelocalizationStatus.STATE_NO_MAP

    answer = _load(robot)  # from where it was saved
    assert (answer.success, answer.keyframes) == (True, 3)
    assert robot.look(camera_pose(0.05)).state == RelocalizationStatus.STATE_LOCALIZED


def test_images_are_taken_while_an_index_is_trained(tmp_path, monkeypatch):
    keyframes, worker, train = KeyframeMap(ToldFrontEnd()), Worker(), trained_index.train
    for number in range(3):
        keyframes.add(numbered(number), camera_pose())
    session = SimpleNamespace(map=keyframes, worker=worker)
    services = Services(MagicMock(), lambda: session)
    taken = []

    def meanwhile(descriptors):
        taken.append(worker.submit(lambda: len(keyframes)).result(10))
        return train(descriptors)

    monkeypatch.setattr(retrieval, "EXACT", 2)
    monkeypatch.setattr(trained_index, "train", meanwhile)

    services._save(SaveMap.Request(path=str(tmp_path / "map")), SaveMap.Response())

    worker.close()
    assert taken == [3]
    saved = KeyframeMap.load(tmp_path / "map", ToldFrontEnd())
    assert saved.training() is None
    assert len(saved) == 3


def _add_without_depth(keyframes, worker, pose):
    """Ask for a keyframe as the service does, its camera in front of the wall; its answer."""
    frame = view(pose, depth=False)
    inputs = SimpleNamespace(
        wait_for_image=lambda *_: SimpleNamespace(stamp=0),
        frame_with_depth=lambda _: (frame, "no depth topic"),
    )
    session = SimpleNamespace(
        map=keyframes,
        worker=worker,
        outputs=MagicMock(),
        inputs=SimpleNamespace(of=lambda _: inputs),
    )
    request = AddKeyframe.Request(pose=conversions.from_pose(pose), timeout=1.0)
    return Services(MagicMock(), lambda: session)._add(request, AddKeyframe.Response())


@pytest.fixture
def wall():
    """A map of one keyframe without depth in front of the wall, and the thread that owns it."""
    keyframes, worker = KeyframeMap(create("sift")), Worker()
    keyframes.add(view(camera_pose(), depth=False), camera_pose())
    yield keyframes, worker
    worker.close()


def test_images_are_taken_while_a_keyframe_is_matched_with_its_neighbors(wall, monkeypatch):
    keyframes, worker = wall
    taken, match = [], triangulation.triangulate_pair

    def meanwhile(*arguments):
        taken.append(worker.submit(lambda: len(keyframes)).result(10))
        return match(*arguments)

    monkeypatch.setattr(triangulation, "triangulate_pair", meanwhile)

    _add_without_depth(keyframes, worker, camera_pose(0.3))

    assert taken == [2]
    for keyframe in keyframes:
        assert np.isfinite(keyframe.description.points).all(1).sum() > 80


def test_a_keyframe_stays_that_cannot_be_matched_with_its_neighbors(wall, monkeypatch):
    keyframes, worker = wall
    refuse = MagicMock(side_effect=FrontEndError("not finite"))
    monkeypatch.setattr(triangulation, "triangulate_pair", refuse)

    message = _add_without_depth(keyframes, worker, camera_pose(0.3))

    assert "not matched with its neighbors (not finite)" in message
    assert len(keyframes) == 2


def test_usage_is_counted_where_it_is_asked_for(robot, saved, tmp_path):
    path = shutil.copytree(saved, tmp_path / "map")
    assert _load(robot, path).success
    robot.look(camera_pose(0.05))
    assert KeyframeMap.load(path, create("sift")).usage == {}
    wanted = Parameter("usage_period", value=1e-3).to_parameter_msg()
    set_ = robot.call(SetParameters, "relocalizer/set_parameters", parameters=[wanted])
    assert set_.results[0].successful

    for x in (0.02, 0.05):
        assert robot.look(camera_pose(x)).state == RelocalizationStatus.STATE_LOCALIZED
    robot.call(ClearMap, "relocalizer/clear_map")

    usage = KeyframeMap.load(path, create("sift")).usage
    assert len(usage) == 2
    for counts in usage.values():
        assert counts.retrieved == counts.used == 2
        assert counts.inliers > 20
        assert counts.last_used == round(robot.clock * 1e9)


def test_remove(robot, tmp_path):
    _build(robot, 1)
    extra = robot.add(camera_pose(0.3))

    answer = robot.call(
        RemoveKeyframe, "relocalizer/remove_keyframe", keyframe_id=extra.keyframe_id
    )

    assert answer.success
    assert answer.message == f"removed keyframe {extra.keyframe_id}; the map holds 1"
    assert robot.look(camera_pose()).map_keyframes == 1
    # An id is never used again, not even after the map went to disk and back.
    assert _save(robot, tmp_path / "map").success
    assert _load(robot).success
    assert robot.add(camera_pose(0.3)).keyframe_id > extra.keyframe_id


def test_the_next_image_becomes_a_keyframe(robot):
    robot.clear()
    future = robot.call_async(
        AddKeyframe,
        "relocalizer/add_keyframe",
        wait_for_next=True,
        pose_source=AddKeyframe.Request.POSE_IDENTITY,
    )
    robot.wait(lambda: robot.look(camera_pose()) and future.done(), "answer")

    assert future.result().success, future.result().message
    assert robot.look(camera_pose()).map_keyframes == 1


def _truncate(path):
    file = path / FILE
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _edit(statement):
    def edit(path):
        with closing(sqlite3.connect(path / FILE)) as connection, connection:
            connection.execute(statement)

    return edit


def _of_before(path):
    (path / FILE).unlink()
    (path / "map.yaml").write_text("# mast3r_ros map\nformat: 2\n")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_truncate, "is damaged"),
        (_edit("UPDATE keyframe SET entry_crc = 1"), "does not have its checksum"),
        (
            _edit(f"PRAGMA user_version = {FORMAT_VERSION + 1}"),
            f"map format {FORMAT_VERSION + 1}, this version reads {FORMAT_VERSION}",
        ),
        (
            _edit("UPDATE meta SET value = 'xfeat' WHERE name = 'front_end'"),
            "made by front end 'xfeat'",
        ),
        (_edit("PRAGMA application_id = 1"), "is of another program"),
        (lambda path: (path / FILE).write_bytes(bytes(range(256))), "of another program"),
        (lambda path: (path / FILE).unlink(), "is missing"),
        (_of_before, "older format"),
    ],
)
def test_a_map_that_cannot_be_loaded_leaves_the_present_one(robot, saved, tmp_path, damage, told):
    path = tmp_path / "damaged"
    shutil.copytree(saved, path)
    damage(path)
    _load(robot, saved)

    answer = _load(robot, path)

    assert not answer.success
    assert told in answer.message
    status = robot.look(camera_pose(0.05))
    assert (status.state, status.map_keyframes) == (RelocalizationStatus.STATE_LOCALIZED, 2)


@pytest.mark.parametrize("below", ["a_file/map", "/proc/nothing/map", "/dev/null/map"])
def test_a_path_that_cannot_be_written(robot, saved, tmp_path, below):
    (tmp_path / "a_file").write_text("in the way")

    answer = _save(robot, tmp_path / below)

    assert not answer.success
    assert "cannot save the map" in answer.message


def test_a_folder_of_somebody_else_is_left_alone(robot, saved, tmp_path):
    (tmp_path / "thesis.tex").write_text("do not touch")

    answer = _save(robot, tmp_path)

    assert not answer.success
    assert "holds other files" in answer.message
    assert (tmp_path / "thesis.tex").read_text() == "do not touch"


def test_a_full_disk_leaves_the_old_map(robot, saved, tmp_path):
    """As far as a process can be shown one: no file of it may grow beyond a few bytes."""
    path = tmp_path / "map"
    shutil.copytree(saved, path)
    _build(robot, 3)
    unlimited = resource.prlimit(robot.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(robot.process.pid, resource.RLIMIT_FSIZE, (4096, unlimited[1]))
    try:
        answer = _save(robot, path)
    finally:
        resource.prlimit(robot.process.pid, resource.RLIMIT_FSIZE, unlimited)

    assert not answer.success
    assert "cannot save the map" in answer.message
    assert _whole(path) == 2
    assert _save(robot, path).success
    assert _whole(path) == 3


@pytest.mark.no_cover
@pytest.mark.slow
def test_killed_while_saving_the_old_map_or_the_new_one_is_whole(tmp_path):
    """At moments spread over the whole of a save, from before it to after it."""
    path = tmp_path / "map"
    front_end = create("sift")
    small, big = KeyframeMap(front_end), KeyframeMap(front_end)
    image, depth = render(camera_pose())
    frame = Frame(image, Camera(320, 240, 300.0, 300.0, 159.5, 119.5), depth=depth)
    description = front_end.describe(frame)
    for _ in range(30):
        big.add(frame, camera_pose(), description)
    for _ in range(2):
        small.add(frame, camera_pose(), description)
    big.save(tmp_path / "big")
    started = time.perf_counter()
    big.save(tmp_path / "timed")
    duration = time.perf_counter() - started
    outcomes = []
    for share in (0.0, 0.3, 0.6, 1.5):
        shutil.rmtree(path, ignore_errors=True)
        small.save(path)
        robot = Robot("killed", map=tmp_path / "big")
        robot.call_async(SaveMap, "relocalizer/save_map", path=str(path))
        time.sleep(share * duration)
        robot.process.kill()
        robot.close()
        outcomes.append(_whole(path))
        # And the next one who saves there finds nothing in the way.
        small.save(path)
        assert _whole(path) == len(small)
        assert not [name for name in os.listdir(path) if name.startswith(".")]
    assert set(outcomes) <= {len(small), len(big)}


def test_a_map_is_loaded_when_configured(saved):
    robot = Robot("loaded", map=saved)
    try:
        status = robot.look(camera_pose(0.05))
        assert (status.state, status.map_keyframes) == (RelocalizationStatus.STATE_LOCALIZED, 2)
        # Saved to where it came from, unless told otherwise.
        assert _save(robot).path == str(saved)
    finally:
        robot.close()
    assert robot.process.returncode == 0
