# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Strict reading: whatever would be left out is an error that says so once, in every source."""

import shutil

import pytest
from evaluation_world import POSES, write_tum

from mast3r_ros.datasets import RecordingError, SourceOptions, open_dataset
from mast3r_ros.datasets.recording import read_frames


@pytest.fixture
def tum(tmp_path):
    return write_tum(tmp_path / "tum")


def _lines(folder, change):
    file = folder / "groundtruth.txt"
    file.write_text("\n".join(change(file.read_text().splitlines())))


def _tear(folder):
    sorted((folder / "rgb").iterdir())[1].write_bytes(b"torn")


def _lose_depth(folder):
    sorted((folder / "depth").iterdir())[0].unlink()


def _lose_pose(folder):
    _lines(folder, lambda lines: lines[:-1])


def _lose_track(folder):
    _lines(folder, lambda lines: [*lines[:-1], lines[-1].split()[0] + 7 * " nan"])


def _read(source, **options):
    dataset = open_dataset(source, SourceOptions(**options))
    list(read_frames(dataset, with_depth=True))
    return dataset.summary


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (_tear, "refused"),
        (_lose_depth, "without depth"),
        (_lose_pose, "without pose"),
        (_lose_track, "ignored"),
    ],
)
def test_a_folder_with_one_fault(tum, damage, kind):
    assert len(_read(tum, strict=True).lines()) == 1
    damage(tum)

    assert any(line.startswith(f"{kind}, 1 times") for line in _read(tum).lines())
    with pytest.raises(RecordingError, match=rf": {kind}: ") as raised:
        _read(tum, strict=True)

    assert str(raised.value).count("strict") == 1
    assert str(raised.value).endswith("(strict: nothing may be left out)")
    assert "expected tx" not in str(raised.value)


def test_images_that_the_file_of_poses_does_not_name(tum, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(tum / "rgb", images)
    lines = [
        f"{file.name} {pose[0, 3]} {pose[1, 3]} {pose[2, 3]} 0 0 0 1"
        for file, pose in zip(sorted(images.iterdir()), POSES, strict=True)
    ]
    poses = tmp_path / "poses.txt"
    options = {"pose_file": poses, "camera": tum / "camera_info.yaml"}
    poses.write_text("\n".join(lines))
    assert len(_read(images, **options, strict=True).lines()) == 1
    poses.write_text("\n".join(lines[:-1]))

    first, reason = _read(images, **options).lines()
    assert first == f"{len(lines) - 1} of {len(lines)} images read, 1 without pose"
    assert reason.endswith("poses.txt does not name it")
    with pytest.raises(RecordingError, match=r"without pose: .*poses\.txt does not name it"):
        _read(images, **options, strict=True)
