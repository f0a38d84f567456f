# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The baseline `loftr`, with random weights: the wiring, not the matches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import camera_pose, view

from mast3r_ros.frontends import create, loftr_weights, names
from mast3r_ros.frontends.base import FrontEndError
from mast3r_ros.frontends.loftr import LoftrFrontEnd
from mast3r_ros.frontends.options import LoftrOptions
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.relocalizer import Relocalizer

kornia = pytest.importorskip("kornia")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("loftr") / "random.ckpt"
    torch.save({"state_dict": kornia.feature.LoFTR(None).state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def front_end(weights):
    # Of a random network, no match is sure.
    return create("loftr", LoftrOptions(str(weights), max_image_side=160, min_confidence=0.0))


@pytest.fixture(scope="module")
def frame():
    return view(camera_pose())


def test_a_description_keeps_the_image_and_the_points_of_its_cells(front_end, frame):
    found = front_end.describe(frame)
    assert found.image.shape == (120, 160)
    assert found.points.shape == (15, 20, 3)
    assert np.linalg.norm(found.global_descriptor) == pytest.approx(1.0, abs=1e-5)
    known = np.isfinite(found.points).all(-1)
    assert known.mean() > 0.5
    # A cell's corner is at pixel 8 i of the small image, and its point projects there.
    row, column = np.argwhere(known)[7]
    there = frame.camera.project(found.points[row, column][None])[0]
    assert there == pytest.approx([2 * 8 * column + 0.5, 2 * 8 * row + 0.5], abs=0.01)


def test_matches_are_in_the_original_images_with_points_of_the_reference(front_end, frame):
    reference = front_end.describe(frame)
    query = front_end.describe(view(camera_pose(0.1), depth=False))
    (found,) = front_end.match([reference], query)
    assert len(found) > 3
    for pixels in (found.reference_pixels, found.query_pixels):
        assert (pixels >= -0.5 - 8).all()
        assert (pixels <= np.array(frame.size) + 8).all()
    known = np.isfinite(found.reference_points).all(1)
    assert known.any()
    projected = frame.camera.project(found.reference_points[known])
    assert projected == pytest.approx(found.reference_pixels[known], abs=0.01)
    assert (found.depth_sigma[known] > 0).all()
    assert found.metric
    (without,) = front_end.match([query], reference)
    assert not without.metric


def test_what_a_mask_covers_is_not_matched(front_end, frame):
    mask = np.ones(frame.image.shape[:2], np.uint8)
    mask[:, :160] = 0
    (found,) = front_end.match(
        [front_end.describe(replace(frame, mask=mask))], front_end.describe(frame)
    )
    assert len(found)
    assert (found.reference_pixels[:, 0] >= 159).all()


def test_a_map_and_a_relocalizer_take_it(front_end, frame, tmp_path):
    keyframes = KeyframeMap(front_end)
    keyframes.add(frame, np.eye(4))
    answer = Relocalizer(keyframes).localize(view(camera_pose(0.1)))
    assert not answer.localized
    with pytest.raises(FrontEndError, match="procrustes needs front end mast3r"):
        front_end.match([], front_end.describe(frame), query_points=True)


def test_missing_and_foreign_weights_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("MAST3R_ROS_CACHE", str(tmp_path))
    with pytest.raises(FrontEndError, match=r"no weights at .*outdoor\.ckpt.*fetch-loftr"):
        create("loftr")
    with pytest.raises(FrontEndError, match="run again with --accept-license"):
        loftr_weights.fetch_weights("outdoor", accept_license=False)
    with pytest.raises(FrontEndError, match="choose outdoor or indoor_new"):
        loftr_weights.fetch_weights("snow", accept_license=True)
    (tmp_path / "other.ckpt").write_bytes(b"no weights")
    with pytest.raises(FrontEndError, match="does not hold weights of LoFTR"):
        LoftrFrontEnd(LoftrOptions(str(tmp_path / "other.ckpt")))


def test_weights_are_fetched_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MAST3R_ROS_CACHE", str(tmp_path))
    asked = []

    def download(url, target):
        asked.append(url)
        open(target, "wb").close()

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    paths = [loftr_weights.fetch_weights("indoor_new", accept_license=True) for _ in range(2)]
    assert paths == [tmp_path / "loftr/indoor_new.ckpt"] * 2
    assert len(asked) == 1
    assert asked[0].endswith(".ckpt")

    def fail(url, target):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(FrontEndError, match=r"cannot download .*no network"):
        loftr_weights.fetch_weights("outdoor", accept_license=True)


def test_its_name_is_known_but_no_robots_choice():
    from mast3r_ros.frontends import NAMES

    assert "loftr" in names()
    assert "loftr" not in NAMES
