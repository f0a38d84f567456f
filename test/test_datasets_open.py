# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The door to all sources, and what it tells after reading."""

import shutil
import sys
from dataclasses import fields

import pytest
from evaluation_world import POSES, pose_line, write_tum

from mast3r_ros.datasets import (
    FORMATS,
    PairOptions,
    RecordingError,
    SourceOptions,
    open_dataset,
)
from mast3r_ros.datasets.recording import read_frames
from mast3r_ros.datasets.summary import REFUSED, WITHOUT_DEPTH, WITHOUT_POSE, ReadSummary


@pytest.fixture
def walk(tmp_path):
    return write_tum(tmp_path / "walk")


def test_a_source_is_opened_by_the_first_format_that_recognizes_it(walk, tmp_path):
    (tmp_path / "bag.mcap").write_bytes(b"")
    (tmp_path / "bags").mkdir()
    (tmp_path / "bags" / "one.db3").write_bytes(b"")
    posed = SourceOptions(pose_file=walk / "poses.txt")

    def kind(source, options=None):
        path = tmp_path / source
        return next(f.name for f in FORMATS if f.recognize(path, options or SourceOptions()))

    assert kind("walk") == "tum"
    assert kind("walk", posed) == "images with poses"
    assert kind("walk/rgb") == kind("walk/rgb/*.png") == kind("walk/rgb/0.png") == "images"
    assert kind("bag.mcap") == kind("bags") == "bag"
    assert type(open_dataset("worlds")).__name__ == "Worlds"


def test_what_no_format_recognizes_is_told_with_the_formats(tmp_path):
    with pytest.raises(RecordingError, match="does not exist; a source is one of: `worlds`"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(RecordingError, match="no images that can be read"):
        open_dataset(tmp_path)


def test_home_and_environment_are_expanded(walk, monkeypatch):
    monkeypatch.setenv("HOME", str(walk.parent))
    monkeypatch.setenv("WHERE", "walk")

    assert len(open_dataset("~/$WHERE")) == len(POSES)
    assert SourceOptions(camera=walk / "~").camera == walk / "~"
    assert len(open_dataset("~/walk/rgb", SourceOptions(pose_file=_poses(walk)))) == 1


def _poses(walk):
    shutil.copy(walk / "camera_info.yaml", walk / "rgb")
    (walk / "poses.txt").write_text(f"1.000000.png {pose_line(POSES[2])}\n")
    return walk / "poses.txt"


def test_image_files_have_no_poses_and_no_camera(walk):
    files = open_dataset(f"{walk}/rgb/*.png")
    (one,) = open_dataset(walk / "rgb" / "1.500000.png")

    assert [image.name for image in files] == [f"{i / 2:.6f}.png" for i in range(7)]
    assert one.load(True).camera is None
    with pytest.raises(RecordingError, match="no image with a known pose: image files alone"):
        list(files.posed())
    with pytest.raises(RecordingError, match="there is no such image"):
        open_dataset(f"{walk}/rgb/*.bmp")


def test_image_files_with_a_calibration_have_a_camera(walk):
    (one,) = open_dataset(
        walk / "rgb" / "1.500000.png", SourceOptions(camera=walk / "camera_info.yaml")
    )

    assert one.load(False).camera is not None


def test_images_that_cannot_be_used_are_left_out_and_counted(walk):
    (walk / "rgb" / "0.500000.png").write_bytes(b"no picture")
    (walk / "depth" / "1.000000.png").unlink()
    lines = (walk / "groundtruth.txt").read_text().splitlines()
    (walk / "groundtruth.txt").write_text("\n".join(lines[:-1]))
    dataset = open_dataset(walk)

    for _ in range(2):  # reading again counts nothing twice
        read = [image.name for image, _ in read_frames(dataset.posed(), with_depth=True)]

    assert read == [f"{i / 2:.6f}.png" for i in (0, 2, 3, 4, 5)]
    summary = dataset.summary
    assert (summary.images, summary.read) == (7, 5)
    assert [summary.count(k) for k in (REFUSED, WITHOUT_DEPTH, WITHOUT_POSE)] == [1, 1, 1]
    first, *rest = summary.lines()
    assert first == "5 of 7 images read, 1 without pose, 1 without depth, 1 refused"
    assert any("0.500000.png is not an image" in line for line in rest)
    assert summary.as_dict()["refused"] == 1


def test_strict_makes_it_an_error(walk):
    (walk / "depth" / "1.000000.png").unlink()
    dataset = open_dataset(walk, SourceOptions(strict=True))

    with pytest.raises(RecordingError, match=r"1\.000000\.png: without depth: .*strict"):
        list(read_frames(dataset.posed(), with_depth=True))


def test_where_no_image_can_be_used_the_first_reason_is_told(walk):
    for file in (walk / "rgb").iterdir():
        file.write_bytes(b"no picture")

    with pytest.raises(RecordingError, match=r"no image can be used; the first is 0\.000000"):
        list(read_frames(open_dataset(walk), with_depth=False))


def test_reasons_that_differ_in_numbers_are_one():
    summary = ReadSummary()
    for i in range(5):
        summary.note(WITHOUT_POSE, f"image {i}", f"{i / 3:.3f} s into the future")
    summary.note(WITHOUT_POSE, "image 9", "no TF")

    assert summary.reasons(WITHOUT_POSE) == [
        (5, "image 0", "0.000 s into the future"),
        (1, "image 9", "no TF"),
    ]


def test_pairs_come_from_the_same_door(walk):
    pairs = list(open_dataset(walk).pairs(PairOptions(count=4, min_overlap=0.5)))

    assert len(pairs) == 4
    with pytest.raises(RecordingError, match="pairs of images only"):
        list(open_dataset("worlds"))


def test_without_the_renderer_the_rooms_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mast3r_ros.training.worlds", None)
    rooms = open_dataset("worlds")

    assert len(rooms) == 0
    with pytest.raises(RecordingError, match=r"pip install -r requirements/train\.txt"):
        next(rooms.pairs(PairOptions(count=1)))


@pytest.mark.parametrize("kind", [SourceOptions, PairOptions])
def test_every_option_has_a_text(kind):
    assert all(entry.metadata["text"] for entry in fields(kind))


def test_options_outside_their_limits_are_named():
    with pytest.raises(ValueError, match="depth_scale = 0"):
        SourceOptions(depth_scale=0.0)
    with pytest.raises(ValueError, match="640"):
        PairOptions(size="640")
