# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Maps go to other tools and come back: COLMAP models by pycolmap, hloc, trajectories, clouds."""

import struct
import sys

import cv2
import numpy as np
import pytest
from synthetic import HEIGHT, ROOM, WIDTH, camera_pose, make_camera, view
from test_cli import run

from mast3r_ros.cli.maps import open_map
from mast3r_ros.datasets.dataset import ImageList
from mast3r_ros.datasets.options import SourceOptions
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.datasets.summary import ReadSummary
from mast3r_ros.datasets.trajectory import read_poses
from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.mapping import colmap_model, edit, exchange, extra
from mast3r_ros.mapping.colmap_camera import CENTER, from_colmap, to_colmap
from mast3r_ros.mapping.extra import MappingError, MissingExtraError

pycolmap = pytest.importorskip("pycolmap", reason="no extra 'mapping'")

POSES = [camera_pose(x=0.25 * i - 0.5, y=0.05 * i, turn=-0.05 * i) for i in range(5)]
SECOND = 10**9


@pytest.fixture(scope="module")
def sift():
    return SiftFrontEnd(SiftOptions(max_keypoints=600))


def _frame(i, depth=True):
    return view(POSES[i], ROOM, depth, stamp=(i + 7) * SECOND)


@pytest.fixture(scope="module")
def keyframes(sift):
    built = KeyframeMap(sift)
    for i in range(len(POSES)):
        built.add(_frame(i), POSES[i])
    return built


@pytest.fixture(scope="module")
def recording():
    images = ImageList("room", SourceOptions())
    images.images = [
        PosedImage(f"{i}", POSES[i], lambda depth, i=i: _frame(i, depth), _frame(i).stamp)
        for i in range(len(POSES))
    ]
    return images


@pytest.fixture(scope="module")
def back(project, sift):
    """What came of importing it."""
    return _imported(project, sift)


@pytest.fixture(scope="module", params=["binary", "text"])
def project(request, keyframes, recording, tmp_path_factory):
    """The map as a COLMAP project with its images."""
    out = tmp_path_factory.mktemp(request.param)
    exchange.export(keyframes, "colmap", out, as_text=request.param == "text")
    exchange.write_images(keyframes, recording, out)
    return out


def _imported(project, sift, scale=1.0):
    back = KeyframeMap(sift)
    model = colmap_model.read_model(project / "sparse/0")
    for _ in colmap_model.add_model(back, model, project / "images", scale):
        pass
    return back


COLMAP_CAMERAS = {
    "SIMPLE_PINHOLE": [300, 160, 120],
    "PINHOLE": [300, 310, 160, 120],
    "SIMPLE_RADIAL": [300, 160, 120, -0.1],
    "RADIAL": [300, 160, 120, -0.1, 0.03],
    "OPENCV": [300, 310, 160, 120, -0.1, 0.03, 0.002, -0.003],
    "FULL_OPENCV": [300, 310, 160, 120, -0.1, 0.03, 0.002, -0.003, 0.01, 0.02, 0.01, -0.01],
    "SIMPLE_FISHEYE": [300, 160, 120],
    "FISHEYE": [300, 310, 160, 120],
    "SIMPLE_RADIAL_FISHEYE": [300, 160, 120, -0.05],
    "RADIAL_FISHEYE": [300, 160, 120, -0.05, 0.01],
    "OPENCV_FISHEYE": [300, 310, 160, 120, -0.05, 0.01, 0.002, -0.001],
}


@pytest.mark.parametrize("model", COLMAP_CAMERAS)
def test_a_camera_of_colmap_projects_as_pycolmap_does(model):
    theirs = pycolmap.Camera(
        camera_id=1, model=model, width=WIDTH, height=HEIGHT, params=COLMAP_CAMERAS[model]
    )
    points = np.random.default_rng(1).uniform((-0.5, -0.4, 1), (0.5, 0.4, 2), (50, 3))

    ours = from_colmap(theirs)
    back = to_colmap(ours, 1)

    expected = theirs.img_from_cam(points)
    np.testing.assert_allclose(ours.project(points) + CENTER, expected, atol=1e-6)
    np.testing.assert_allclose(back.img_from_cam(points), expected, atol=1e-6)


def test_cameras_without_an_equivalent_are_refused_by_name():
    fov = pycolmap.Camera(
        camera_id=3, model="FOV", width=64, height=48, params=[50, 50, 32, 24, 0.9]
    )
    with pytest.raises(MappingError, match=r"camera 3 has COLMAP's model FOV.*undistort"):
        from_colmap(fov)
    prism = Camera(64, 48, 50, 50, 32, 24, (0.1,) * 12, "rational_polynomial")
    with pytest.raises(MappingError, match="12 coefficients"):
        to_colmap(prism, 1)


def test_pycolmap_reads_what_was_exported(project, keyframes):
    model = pycolmap.Reconstruction(project / "sparse/0")

    assert model.num_reg_images() == len(keyframes)
    assert model.compute_mean_track_length() > 1.2
    assert model.compute_mean_reprojection_error() < 0.5
    for keyframe in keyframes:
        image = model.images[keyframe.id + 1]
        assert image.name == f"{keyframe.stamp // SECOND}.000000000.png"
        np.testing.assert_allclose(image.projection_center(), keyframe.pose[:3, 3], atol=1e-9)
        known = np.isfinite(keyframe.description.points).all(1)
        assert image.num_points3D == known.sum()


def test_an_exported_map_comes_back(back, keyframes):
    assert len(back) == len(keyframes)
    for was, now in zip(keyframes, back, strict=True):
        np.testing.assert_allclose(now.pose, was.pose, atol=1e-9)
        assert now.stamp == was.stamp
        assert now.camera == was.camera
        np.testing.assert_array_equal(now.description.descriptors, was.description.descriptors)
        both = np.isfinite(was.description.points[:, 2]) & np.isfinite(now.description.points[:, 2])
        assert both.sum() > 0.7 * np.isfinite(was.description.points[:, 2]).sum()
        ratio = now.description.points[both, 2] / was.description.points[both, 2]
        assert np.median(np.abs(ratio - 1.0)) < 0.005


def test_a_query_is_localized_in_a_model_that_came_back(back):
    truth = camera_pose(x=0.1, y=0.08, turn=-0.12)

    answer = Relocalizer(back).localize(view(truth, ROOM, depth=False))

    assert answer.localized, answer.message
    assert transforms.distance(answer.pose, truth) < 0.02


def test_scale_moves_poses_and_points_alike(project, back, sift):
    for was, now in zip(back, _imported(project, sift, scale=2.0), strict=True):
        np.testing.assert_allclose(now.pose[:3, 3], 2.0 * was.pose[:3, 3], atol=1e-9)
        known = np.isfinite(was.description.points[:, 2])
        known &= np.isfinite(now.description.points[:, 2])
        ratio = now.description.points[known, 2] / was.description.points[known, 2]
        assert np.median(ratio) == pytest.approx(2.0, rel=0.01)


def test_a_model_made_by_pycolmap_is_imported_and_localized_in(sift, tmp_path):
    """COLMAP's own features and mapper; the meters from two cameras' known distance."""
    (tmp_path / "images").mkdir()
    poses = [camera_pose(x=0.2 * i - 0.5, y=0.06 * i, turn=-0.08 * i) for i in range(5)]
    for i, pose in enumerate(poses):
        image = view(pose, ROOM).image[..., ::-1]
        cv2.imwrite(str(tmp_path / f"images/{i}.png"), image)
    database = tmp_path / "database.db"
    reader = pycolmap.ImageReaderOptions()
    camera = to_colmap(make_camera(), 1)
    reader.camera_model, reader.camera_params = "PINHOLE", camera.params_to_string()
    single = pycolmap.CameraMode.SINGLE
    extraction = pycolmap.FeatureExtractionOptions(num_threads=1)
    extraction.sift.max_num_features, extraction.sift.first_octave = 600, 0
    pycolmap.extract_features(
        database,
        tmp_path / "images",
        camera_mode=single,
        reader_options=reader,
        extraction_options=extraction,
    )
    pycolmap.match_exhaustive(database)
    options = pycolmap.IncrementalPipelineOptions(
        ba_refine_focal_length=False, random_seed=1, num_threads=1
    )
    options.mapper.init_min_tri_angle = 4.0
    found = pycolmap.incremental_mapping(database, tmp_path / "images", tmp_path, options)
    assert len(found) == 1
    assert found[0].num_reg_images() == 5
    meters = str(transforms.distance(poses[0], poses[4]))

    out = tmp_path / "map"
    run(
        *("map", "import", tmp_path / "0", "--images", tmp_path / "images", "--out", out),
        *("--scale-from", "0.png", "4.png", meters, "--front-end", "sift"),
    )

    back = open_map(out)
    truth = camera_pose(x=0.05, y=0.1, turn=-0.22)
    answer = Relocalizer(back).localize(view(truth, ROOM, depth=False))
    assert answer.localized, answer.message
    # The model's frame is its own: compare with the first image.
    first = next(iter(back)).pose
    moved = poses[0] @ transforms.inverse(first) @ answer.pose
    assert transforms.distance(moved, truth) < 0.03
    assert transforms.rotation_angle(moved, truth) < np.deg2rad(1.0)


def test_hloc_reads_features_by_the_names_of_its_model(keyframes, tmp_path):
    h5py = pytest.importorskip("h5py")
    exchange.export(keyframes, "hloc", tmp_path)

    model = pycolmap.Reconstruction(tmp_path / "sfm")
    with h5py.File(tmp_path / "features.h5") as features:
        for image in model.images.values():
            group = features[image.name]
            pixels = np.array([p.xy for p in image.points2D])
            np.testing.assert_allclose(group["keypoints"][()] + 0.5, pixels, atol=1e-4)
            assert group["descriptors"].shape == (128, len(pixels))
            assert group["image_size"][()].tolist() == [WIDTH, HEIGHT]
    with h5py.File(tmp_path / "global-features.h5") as features:
        kept = next(iter(keyframes)).description.global_descriptor
        name = model.images[1].name
        np.testing.assert_array_equal(features[name]["global_descriptor"][()], kept)


def test_a_trajectory_has_a_line_a_keyframe(keyframes, tmp_path):
    exchange.export(keyframes, "tum", tmp_path / "poses.txt")

    poses = read_poses(tmp_path / "poses.txt", ReadSummary())
    assert list(poses) == [k.stamp for k in keyframes]
    np.testing.assert_allclose(list(poses.values()), [k.pose for k in keyframes], atol=1e-8)


def test_clouds_hold_every_known_point_with_its_color(keyframes, tmp_path):
    exchange.export(keyframes, "ply", tmp_path / "points.ply")
    exchange.export(keyframes, "pcd", tmp_path / "points.pcd")

    head, body = (tmp_path / "points.ply").read_bytes().split(b"end_header\n", 1)
    count = sum(np.isfinite(k.description.points).all(1).sum() for k in keyframes)
    assert f"element vertex {count}\n".encode() in head
    records = np.frombuffer(body, [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    assert len(records) == count
    # The room's panels are 1.7 to 3 m ahead.
    assert 1.6 < records["xyz"][:, 2].min() < records["xyz"][:, 2].max() < 3.1
    assert records["rgb"].std() > 10
    head, body = (tmp_path / "points.pcd").read_bytes().split(b"DATA binary\n", 1)
    assert f"POINTS {count}\n".encode() in head
    x, y, z, packed = struct.unpack_from("<fffI", body)
    np.testing.assert_array_equal([x, y, z], records["xyz"][0])
    assert [packed >> 16, packed >> 8 & 255, packed & 255] == records["rgb"][0].tolist()


def test_a_moved_map_localizes_in_its_new_frame(keyframes):
    new_old = transforms.make(transforms.rotation_from_vector([0.1, -0.4, 1.2]), [5.0, -2.0, 0.3])
    truth = camera_pose(x=0.1, y=0.08, turn=-0.12)

    moved = edit.transform(keyframes, new_old)
    answer = Relocalizer(moved).localize(view(truth, ROOM, depth=False))

    assert answer.localized
    assert transforms.distance(answer.pose, new_old @ truth) < 0.02
    assert moved.next_id == keyframes.next_id


def test_a_cropped_map_keeps_ids_and_gives_none_again(keyframes):
    cropped = edit.crop(keyframes, (-0.3, -np.inf, -np.inf), (0.3, np.inf, np.inf))

    assert [k.id for k in cropped] == [1, 2, 3]
    assert cropped.next_id == 5
    with pytest.raises(MappingError, match=r"no keyframe in the box.*-0\.5"):
        edit.crop(keyframes, (3, 3, 3), (4, 4, 4))


def test_verbs_move_cut_and_export(keyframes, tmp_path):
    keyframes.save(tmp_path / "map")
    moved, cut = tmp_path / "moved", tmp_path / "cut"

    turned = ("--translation", 1, 0, 0, "--rotation", 0, 0, 1, 0)
    run("map", "transform", tmp_path / "map", "--out", moved, *turned)
    run("map", "crop", moved, "--out", cut, "--min", 0.9, "-inf", "-inf")
    run("map", "export", cut, "--format", "tum", "--out", tmp_path / "t.txt")

    lines = (tmp_path / "t.txt").read_text().splitlines()[1:]
    assert [float(line.split()[1]) for line in lines] == pytest.approx([1.5, 1.25, 1.0])


def test_what_cannot_be_exchanged_is_said(project, keyframes, recording, sift, tmp_path):
    with pytest.raises(MappingError, match=r"no COLMAP model.*sparse/0"):
        colmap_model.read_model(tmp_path)
    (tmp_path / "images.bin").write_bytes(b"\x01\x02")
    (tmp_path / "cameras.bin").write_bytes(b"\x01\x02")
    with pytest.raises(MappingError, match="pycolmap cannot read"):
        colmap_model.read_model(tmp_path)
    model = colmap_model.read_model(project / "sparse/0")
    with pytest.raises(MappingError, match=r"is not in .*name its folder"):
        next(colmap_model.add_model(KeyframeMap(sift), model, tmp_path, 1.0))
    with pytest.raises(MappingError, match="no image nowhere"):
        colmap_model.scale_between(colmap_model.camera_poses(model), "nowhere", "else", 1.0)
    with pytest.raises(MappingError, match="no keyframes"):
        exchange.export(KeyframeMap(sift), "tum", tmp_path / "t.txt")
    recording.images, kept = recording.images[1:], recording.images
    with pytest.raises(MappingError, match=r"1 keyframes have no image.*7\.000000 s"):
        exchange.write_images(keyframes, recording, tmp_path / "few")
    recording.images = kept


def test_a_missing_library_names_the_extra_and_the_platform(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    monkeypatch.setattr(extra.platform, "machine", lambda: "aarch64")
    with pytest.raises(MissingExtraError, match=r"mast3r_ros\[mapping\].*aarch64.*no wheel"):
        extra.library("pycolmap")
