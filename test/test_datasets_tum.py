# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Folders of images with poses, as they should be and as they should not."""

import shutil

import cv2
import numpy as np
import pytest
from evaluation_world import CAMERA, POSES, pose_line, view, write_calibration, write_tum

from mast3r_ros.datasets import RecordingError, SourceOptions, open_dataset
from mast3r_ros.datasets.summary import IGNORED, WITHOUT_DEPTH, WITHOUT_POSE, ReadSummary
from mast3r_ros.datasets.trajectory import read_poses, write_poses
from mast3r_ros.datasets.tum import TumFolder


def read_tum(folder, **options):
    return TumFolder(folder, SourceOptions(**options))


def read_images(folder, poses, camera):
    return open_dataset(folder, SourceOptions(pose_file=poses, camera=camera))


@pytest.fixture
def folder(tmp_path):
    return write_tum(tmp_path / "walk")


def test_images_come_with_pose_camera_stamp_and_depth(folder):
    recording = read_tum(folder)

    assert [image.name for image in recording] == [f"{i / 2:.6f}.png" for i in range(7)]
    np.testing.assert_allclose([image.pose for image in recording], POSES, atol=1e-8)
    frame, truth = recording[3].load(True), view(POSES[3])
    assert frame.camera == CAMERA
    assert frame.stamp == 1_500_000_000
    np.testing.assert_array_equal(frame.image, truth.image)
    np.testing.assert_allclose(frame.depth[5:], truth.depth[5:], atol=6e-4)
    assert np.isnan(frame.depth[:5]).all()
    assert recording[3].load(False).depth is None


def test_the_benchmarks_own_layout(folder):
    for kind in ("rgb", "depth"):
        lines = [f"{i / 2 + 0.004} {kind}/{i / 2:.6f}.png" for i in range(6)]
        (folder / f"{kind}.txt").write_text("# timestamp filename\n" + "\n".join(lines))

    recording = read_tum(folder)

    assert len(recording) == 6
    assert recording[2].load(True).stamp == 1_004_000_000


def test_the_depth_scale(tmp_path):
    folder = write_tum(tmp_path / "five", depth_scale=5000.0)

    depth = read_tum(folder, depth_scale=5000.0)[0].load(True).depth

    np.testing.assert_allclose(depth[5:], 2.0, atol=2e-4)


def test_what_is_far_in_time_does_not_belong_together(folder):
    (folder / "depth" / "1.000000.png").rename(folder / "depth" / "1.030000.png")
    lines = (folder / "groundtruth.txt").read_text().splitlines()
    lines[1] = lines[1].replace("0.000000", "0.030000", 1)
    lines[2] = lines[2].replace("0.500000", "0.490000", 1)
    (folder / "groundtruth.txt").write_text("\n".join(lines))

    recording = read_tum(folder)

    assert [image.name for image in recording.posed()][:2] == ["0.500000.png", "1.000000.png"]
    assert recording[2].load(True).depth is None
    assert recording.summary.count(WITHOUT_POSE) == 1
    assert recording.summary.reasons(WITHOUT_DEPTH)[0][1] == "1.000000.png"


def test_depth_may_be_missing(folder):
    shutil.rmtree(folder / "depth")

    assert read_tum(folder)[0].load(True).depth is None


def test_another_calibration(folder, tmp_path):
    (folder / "camera_info.yaml").rename(tmp_path / "mine.yaml")

    assert read_tum(folder, camera=tmp_path / "mine.yaml")[0].load(False).camera == CAMERA


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("groundtruth.txt", None, "no image with a known pose: there is no .*groundtruth.txt"),
        ("groundtruth.txt", "# nothing\n", "no lines"),
        ("groundtruth.txt", "0.0 1 2 3 0 0 0\n", "line 1: expected .* found 6 numbers"),
        ("groundtruth.txt", "\n0.0 1 2 3 0 0 0 0\n", "none of its 1 lines is a pose"),
        ("groundtruth.txt", "now 1 2 3 0 0 0 1\n", "line 1: 'now' is not a time"),
        (
            "groundtruth.txt",
            "99 1 2 3 0 0 0 1\n",
            "known pose: no pose within 0.02 s",
        ),
        ("camera_info.yaml", None, "--camera"),
        ("rgb.txt", "soon rgb/x.png\n", "line 1: 'soon' is not a time"),
        ("rgb/start.png", "", "names must be time stamps"),
    ],
)
def test_bad_folders_are_told(folder, file, text, message):
    if text is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(text)

    with pytest.raises(RecordingError, match=message):
        list(read_tum(folder).posed())


def test_no_folder_and_no_images(tmp_path):
    with pytest.raises(RecordingError, match="is not a folder"):
        read_tum(tmp_path / "nowhere")
    with pytest.raises(RecordingError, match="no images"):
        read_tum(tmp_path)


def test_bad_images_are_told(folder):
    recording = read_tum(folder)
    (folder / "rgb" / "0.000000.png").write_bytes(b"no picture")
    (folder / "rgb" / "0.500000.png").unlink()
    cv2.imwrite(str(folder / "depth" / "1.000000.png"), np.zeros((4, 4), np.uint8))

    with pytest.raises(RecordingError, match=r"0.000000.png is not an image"):
        recording[0].load(False)
    with pytest.raises(RecordingError, match=r"0.500000.png does not exist"):
        recording[1].load(False)
    with pytest.raises(RecordingError, match="depth must be 16-bit"):
        recording[2].load(True)


def test_images_with_a_file_of_poses(folder, tmp_path):
    poses, camera = tmp_path / "poses.txt", tmp_path / "camera.yaml"
    write_calibration(camera)
    poses.write_text(f"# name pose\n1.000000.png {pose_line(POSES[2])}\n")

    (image,) = read_images(folder / "rgb", poses, camera)

    np.testing.assert_allclose(image.pose, POSES[2], atol=1e-8)
    assert image.load(True).depth is None
    poses.write_text(f"gone.png {pose_line(POSES[2])}\n")
    with pytest.raises(RecordingError, match=r"line 1: there is no image .*gone.png"):
        read_images(folder / "rgb", poses, camera)
    poses.write_text("")
    with pytest.raises(RecordingError, match="no lines"):
        read_images(folder / "rgb", poses, camera)


_NANOSECONDS = [1403636579763555584 + i * 50_000_000 for i in range(7)]
_HEADLINE = "timestamp tx ty tz qx qy qz qw"


def _rename(folder, names):
    """Name the images so; returns the poses' lines without their times."""
    for kind in ("rgb", "depth"):
        for i, name in enumerate(names):
            (folder / kind / f"{i / 2:.6f}.png").rename(folder / kind / f"{name}.png")
    return [pose_line(pose) for pose in POSES]


def _plain():
    return [f"{i / 2:.6f} {pose_line(pose)}" for i, pose in enumerate(POSES)]


@pytest.mark.parametrize(
    "text",
    [
        "\r\n".join(_plain()),
        "\ufeff" + "\n".join(_plain()),
        "\ufeff# comment\n" + "\n".join(_plain()),
        "\n".join(_plain()).replace(" ", ","),
        "\n".join(_plain()).replace(" ", ", "),
        "\n".join(_plain()).replace(" ", ";"),
        "\n".join(line.replace(" ", "\t") + " " for line in _plain()),
        f"{_HEADLINE}\n" + "\n".join(_plain()),
        f"#{_HEADLINE}\n" + "\n".join(_plain()[::-1]),
    ],
    ids=["crlf", "mark", "mark, comment", "commas", "comma, space", "semicolons", "tabs",
         "headline", "not sorted"],
)  # fmt: skip
def test_trajectories_as_other_programs_write_them(folder, text):
    (folder / "groundtruth.txt").write_text(text, newline="")

    np.testing.assert_allclose([i.pose for i in read_tum(folder)], POSES, atol=1e-8)


def test_letters_of_another_code_in_a_comment(folder):
    (folder / "groundtruth.txt").write_bytes(b"# gr\xfcn\n" + "\n".join(_plain()).encode())

    assert len(list(read_tum(folder).posed())) == 7
    (folder / "groundtruth.txt").write_bytes("\n".join(_plain()).encode("utf-16"))
    with pytest.raises(RecordingError, match="UTF-16"):
        read_tum(folder)


@pytest.mark.parametrize("unit", ["nanoseconds", "seconds", "scientific"])
def test_times_in_nanoseconds(folder, unit):
    lines = _rename(folder, _NANOSECONDS)
    times = {
        "nanoseconds": [str(t) for t in _NANOSECONDS],
        "seconds": [f"{t // 10**9}.{t % 10**9:09d}" for t in _NANOSECONDS],
        "scientific": [f"{t // 10**9}.{t % 10**9:09d}e0" for t in _NANOSECONDS],
    }[unit]
    text = "\n".join(f"{t} {line}" for t, line in zip(times, lines, strict=True))
    (folder / "groundtruth.txt").write_text(text)

    recording = read_tum(folder)

    np.testing.assert_allclose([i.pose for i in recording], POSES, atol=1e-8)
    assert [image.stamp for image in recording] == _NANOSECONDS


@pytest.mark.parametrize("lost", [7 * " nan", " -nan(ind)" + 6 * " 0", 7 * " 0", 7 * " inf"])
def test_where_tracking_was_lost_there_is_no_pose(folder, lost):
    lines = _plain()
    lines[2] = "1.000000" + lost
    (folder / "groundtruth.txt").write_text("\n".join(lines))

    recording = read_tum(folder)

    assert [image.pose is None for image in recording] == [i == 2 for i in range(7)]
    assert recording.summary.reasons(IGNORED)[0][1].endswith("groundtruth.txt, line 3")


def test_of_two_poses_of_one_time_the_first_is_taken_and_the_other_counted(folder):
    lines = _plain()
    again = f"{lines[2].split()[0]} 9 9 9 0 0 0 1"
    (folder / "groundtruth.txt").write_text("\n".join([*lines, lines[1], again]))

    recording = read_tum(folder)

    np.testing.assert_allclose([i.pose for i in recording], POSES, atol=1e-8)
    ((count, where, _),) = recording.summary.reasons(IGNORED)
    assert (count, where.rpartition(", ")[2]) == (1, "line 9")


def test_names_with_spaces_in_a_list_of_images(folder):
    (folder / "rgb" / "1.000000.png").rename(folder / "rgb" / "my image.png")
    (folder / "rgb.txt").write_text("1.000000 rgb/my image.png\n")

    assert [image.load(False).stamp for image in read_tum(folder)] == [10**9]


def test_columns_beyond_the_pose_are_told(folder):
    (folder / "groundtruth.txt").write_text("\n".join(f"{line} 1" for line in _plain()))

    with pytest.raises(RecordingError, match=r"line 1: expected tx ty tz qx qy qz qw, found 8"):
        read_tum(folder)


def test_depth_of_half_the_size_is_brought_to_the_images(folder):
    file = folder / "depth" / "1.000000.png"
    cv2.imwrite(str(file), cv2.imread(str(file), cv2.IMREAD_UNCHANGED)[::2, ::2])

    depth = read_tum(folder)[2].load(True).depth

    np.testing.assert_allclose(depth[10::2, 10::2], view(POSES[2]).depth[10::2, 10::2], atol=6e-4)


def test_poses_written_are_read_again(tmp_path):
    stamped = list(zip(_NANOSECONDS, POSES, strict=True))

    write_poses(tmp_path / "poses.txt", stamped)
    found = read_poses(tmp_path / "poses.txt", ReadSummary())

    assert list(found) == _NANOSECONDS
    np.testing.assert_allclose(list(found.values()), POSES, atol=1e-8)
