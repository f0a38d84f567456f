# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Dense clouds: pixels triangulated from many images, and reconstructions that write them."""

import json

import cv2
import numpy as np
import pytest
from evaluation_world import write_calibration
from synthetic import ROOM, camera_pose, make_camera, view
from test_cli import run
from typer.testing import CliRunner

from mast3r_ros.cli import app as cli
from mast3r_ros.cli.maps import open_map
from mast3r_ros.frontends import create
from mast3r_ros.frontends.base import Description, densely
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.thinning import thinned
from mast3r_ros.geometry.triangulation import consistent_depths
from mast3r_ros.mapping.dense import DenseView, dense_points
from mast3r_ros.mapping.extra import MappingError
from mast3r_ros.mapping.options import DenseOptions
from mast3r_ros.mapping.scale import Scale, scale_from_network
from mast3r_ros.matching.correspondences import Correspondences

POSES = [camera_pose(x=0.2 * i - 0.6, y=0.06 * i, turn=-0.08 * i) for i in range(6)]
CAMERA = make_camera()


def test_the_depth_that_most_neighbors_agree_on_is_taken():
    depths = np.array([[2.0, 5.0, 3.0, np.nan], [2.02, 1.0, np.nan, np.nan], [4.0, 1.01, 3.0, 1.0]])
    sigmas = np.full((3, 4), 0.02)

    depth, relative_sigma, views = consistent_depths(depths, np.where(depths > 0, sigmas, np.nan))

    # Inverse depths are averaged: two of three, the wrong one left out; alone, a depth is its own.
    assert depth == pytest.approx([2.01, 1.005, 3.0, 1.0], abs=2e-4)
    assert views.tolist() == [2, 2, 2, 1]
    assert relative_sigma[2:] == pytest.approx([0.02 / 3 / np.sqrt(2), 0.02])
    none, _, no_views = consistent_depths(np.full((2, 1), np.nan), np.full((2, 1), np.nan))
    assert np.isnan(none).all()
    assert no_views.tolist() == [0]


def test_a_thinned_cloud_is_that_of_points_taken_one_by_one(monkeypatch):
    points = np.random.default_rng(1).random((400, 3))
    taken = []
    for i in np.random.default_rng(5).permutation(400):
        if all(np.linalg.norm(points[i] - points[j]) > 0.15 for j in taken):
            taken.append(i)

    assert thinned(points, 0.15, seed=5).tolist() == taken
    monkeypatch.setattr("mast3r_ros.geometry.thinning._BLOCK", 37)
    assert thinned(points, 0.15, seed=5).tolist() == taken
    assert len(thinned(np.zeros((0, 3)), 1.0)) == 0


class Exact:
    """Knows where 300 points of the world are in each image; some images lie about some."""

    name, description_type, min_inliers, min_inlier_ratio, fingerprint = "exact", None, 1, 0.1, ""
    world = np.random.default_rng(2).uniform([-0.8, -0.6, 2.0], [0.8, 0.6, 3.0], (300, 3))

    def __init__(self, liars=(), unit=1.0):
        self._liars, self._unit = liars, unit

    def pixel_error_scale(self, size):
        return 1.0

    def match(self, references, query, *, query_points=False):
        return [self._matches(self._number(r), self._number(query)) for r in references]

    def _number(self, description):
        return int(description.global_descriptor[0])

    def _matches(self, reference, query):
        there, here = (
            CAMERA.project(transforms.apply(transforms.inverse(POSES[i]), self.world))
            for i in (reference, query)
        )
        points = transforms.apply(transforms.inverse(POSES[reference]), self.world)
        if reference in self._liars:  # along the line: what triangulation alone cannot see
            center = POSES[query][:3, 3]
            further = center + 1.4 * (self.world - center)
            there = CAMERA.project(transforms.apply(transforms.inverse(POSES[reference]), further))
        seen = np.isfinite(here).all(1) & np.isfinite(there).all(1)
        return Correspondences(
            there[seen].astype(np.float32),
            here[seen].astype(np.float32),
            np.ones(seen.sum(), np.float32),
            (self._unit * points[seen]).astype(np.float32),
            np.full(seen.sum(), 0.1, np.float32),
            metric=True,
        )


VIEWS = [DenseView(Description(np.array([i], np.float32)), CAMERA, p) for i, p in enumerate(POSES)]


def test_true_matches_give_the_points_of_the_world_and_its_unit():
    found = dense_points(VIEWS[2], VIEWS[:2] + VIEWS[3:], Exact(unit=1.2), DenseOptions())

    apart = np.linalg.norm(found.points[:, None] - Exact.world, axis=2).min(1)
    assert len(found.points) > 150
    assert apart.max() < 1e-4
    assert (found.views >= 2).all()
    assert len(found.meters) == 5
    assert np.array(found.meters) == pytest.approx(np.array([[1.2, 0.1]] * 5), rel=1e-4)


def test_an_image_that_contradicts_the_others_is_not_believed():
    others, liar = VIEWS[:2] + VIEWS[3:], Exact(liars=(4,))
    together = dense_points(VIEWS[2], others, liar, DenseOptions(dense_agree=3))
    alone = dense_points(VIEWS[2], [VIEWS[4]], liar, DenseOptions(dense_agree=1))
    apart = np.linalg.norm(together.points[:, None] - Exact.world, axis=2).min(1)

    assert len(together.points) > 150
    assert apart.max() < 1e-4
    # Without others, nothing contradicts it.
    assert np.median(np.linalg.norm(alone.points[:, None] - Exact.world, axis=2).min(1)) > 0.02
    assert len(dense_points(VIEWS[2], [VIEWS[4]], liar, DenseOptions()).points) == 0


def test_features_and_the_networks_densest_matches_lie_on_the_rooms_panels():
    frames = [view(pose, ROOM, depth=False) for pose in POSES[:4]]
    counts = {}
    for name in ("sift", "mast3r=nano"):
        front_end = densely(create(name))
        views = [
            DenseView(front_end.describe(frame), CAMERA, pose)
            for frame, pose in zip(frames, POSES, strict=False)
        ]
        found = dense_points(views[1], [views[0], *views[2:]], front_end, DenseOptions())
        z = found.points[:, 2]
        apart = np.abs(z[:, None] - [3.0, 2.0, 1.7, 2.4]).min(1)
        assert np.median(apart) < 0.05, name
        counts[name] = len(z)
    assert counts["mast3r=nano"] > 4 * counts["sift"]


def test_meters_of_a_network_are_as_sure_as_it_says_its_points_are():
    scale = scale_from_network([(2.0, 0.15), (2.1, 0.15), (1.9, 0.15)])

    assert scale.meters == 2.0
    assert 0.15 < scale.sigma < 0.16
    assert not scale.sure
    assert "UNSURE" in str(scale)
    assert "UNSURE" not in str(Scale(1.0, 0.02, "depth"))
    with pytest.raises(MappingError, match="for 2 images, 3 needed"):
        scale_from_network([(2.0, 0.15)] * 2)


def test_images_alone_become_a_map_a_cloud_a_model_and_a_page(tmp_path):
    pycolmap = pytest.importorskip("pycolmap", reason="no extra 'mapping'")
    (tmp_path / "images").mkdir()
    for i, pose in enumerate(POSES[:4]):
        image = view(pose, ROOM).image[..., ::-1]
        cv2.imwrite(str(tmp_path / f"images/{i}.png"), image)
    write_calibration(tmp_path / "camera.yaml")
    command = ("map", "build", tmp_path / "images", tmp_path / "map", "--poses", "none")
    command += ("--camera", tmp_path / "camera.yaml", "--front-end", "sift", "--initial-angle", 3)
    command += ("--dense", "--dense-front-end", "mast3r=nano", "--dense-neighbors", 2)

    run(*command, "--json", tmp_path / "built.json")

    about = json.loads((tmp_path / "built.json").read_text())
    assert about["registered"] == 4
    assert "a network predicted" in about["scale_source"]
    assert about["scale_sure"] is False
    assert about["dense_points"] > 500
    folder = tmp_path / "map_dense"
    assert (folder / "cloud.ply").read_bytes().startswith(b"ply\n")
    assert "<canvas class=cloud" in (folder / "cloud.html").read_text()
    # The model lies in the map's frame, in its meters, under the images' own names.
    model, keyframes = pycolmap.Reconstruction(folder / "sparse/0"), open_map(tmp_path / "map")
    images = {image.name: image for image in model.images.values()}
    assert sorted(images) == [f"{i}.png" for i in range(4)]
    for keyframe in keyframes:
        center = images[f"{keyframe.id}.png"].projection_center()
        assert center == pytest.approx(keyframe.pose[:3, 3], abs=1e-6)


def test_a_dense_cloud_is_made_of_images_without_poses(tmp_path):
    command = ["map", "build", str(tmp_path), str(tmp_path / "map"), "--dense"]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 2
    assert "--dense: a cloud is made of images without poses" in result.output
