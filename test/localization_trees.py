# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Small trees in the layouts of Aachen Day-Night and InLoc, of the room of `synthetic`."""

from dataclasses import replace

import cv2
import numpy as np
from scipy.io import savemat
from synthetic import HEIGHT, OTHER_ROOM, ROOM, WIDTH, camera_pose, make_camera, render, view

from mast3r_ros.datasets.registry import open_dataset
from mast3r_ros.frontends import create
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping import exchange
from mast3r_ros.mapping.colmap_camera import to_colmap

# World <- camera of the images of the database; queries are taken between them.
DATABASE = [camera_pose(0.15 * i - 0.3, 0.0, 0.02 * i, turn=0.04 * i - 0.08) for i in range(5)]
DAY = [camera_pose(0.05, 0.03, 0.05, turn=0.02), camera_pose(-0.2, -0.02, 0.0, tilt=0.03)]
NIGHT = [camera_pose(0.2, 0.05, 0.1, turn=-0.05)]


def colmap_numbers(pose):
    """qw qx qy qz tx ty tz, camera <- world."""
    translation, (x, y, z, w) = transforms.to_quaternion(transforms.inverse(pose))
    return " ".join(f"{value:.12g}" for value in (w, x, y, z, *translation))


def lines(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in text))


def write_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def aachen_tree(folder, points=400):
    """Five images in the model, two queries by day and one by night."""
    camera = make_camera()
    # COLMAP's pixel centers are at halves.
    intrinsics = (
        f"SIMPLE_RADIAL {camera.width} {camera.height} {camera.fx} {camera.cx + 0.5} "
        f"{camera.cy + 0.5} 0.0"
    )
    random, listed, cloud = np.random.default_rng(0), [], []
    for number, pose in enumerate(DATABASE, 1):
        frame = view(pose)
        write_image(folder / f"images_upright/db/{number}.png", frame.image)
        u = random.integers(0, camera.width, points)
        v = random.integers(0, camera.height, points)
        seen = camera.unproject(np.stack([u, v], 1), frame.depth[v, u])
        observed = []
        for i, (x, y, place) in enumerate(zip(u, v, transforms.apply(pose, seen), strict=True)):
            cloud.append(f"{len(cloud) + 1} {' '.join(map(str, place))} 0 0 0 0.5 {number} {i}")
            observed.append(f"{x + 0.5} {y + 0.5} {len(cloud)}")
        listed += [f"{number} {colmap_numbers(pose)} 1 db/{number}.png", " ".join(observed)]
    model = folder / "3D-models/aachen_v_1_1"
    lines(model / "cameras.txt", [f"1 {intrinsics}"])
    lines(model / "images.txt", listed)
    lines(model / "points3D.txt", cloud)
    for group, poses in (("day", DAY), ("night", NIGHT)):
        names = [f"query/{group}/{group}_{i}.png" for i in range(len(poses))]
        for name, pose in zip(names, poses, strict=True):
            write_image(folder / "images_upright" / name, view(pose, depth=False).image)
        file = folder / f"queries/{group}_time_queries_with_intrinsics.txt"
        lines(file, [f"{name} {intrinsics}" for name in names])
    return folder


def aachen_of_recording(source, folder, every, queries):
    """A recording with depth in this layout: its model is one that this package exports.

    Every N-th image is in the model; as many queries are taken from the others. Their true poses
    are returned by name.
    """
    images = list(open_dataset(source))
    mapped, others = images[::every], [image for i, image in enumerate(images) if i % every]
    keyframes = KeyframeMap(create("sift"))
    for image in mapped:
        keyframes.add(image.load(True), image.true_pose)
    exchange.export(keyframes, "colmap", folder)
    exchange.write_images(keyframes, mapped, folder)
    (folder / "3D-models").mkdir()
    (folder / "sparse/0").rename(folder / "3D-models/aachen_v_1_1")
    (folder / "images").rename(folder / "images_upright")
    listed, truths = [], {}
    for image in others[:: len(others) // queries][:queries]:
        frame, name = image.load(False), f"query/{image.stamp}.png"
        write_image(folder / "images_upright" / name, frame.image)
        camera = to_colmap(frame.camera, 1)
        parameters = " ".join(map(str, camera.params))
        listed.append(f"{name} {camera.model_name} {camera.width} {camera.height} {parameters}")
        truths[name] = image.true_pose
    lines(folder / "queries/day_time_queries_with_intrinsics.txt", listed)
    return truths


# Building <- scan of two scans, one of which is turned upside down.
SCANS = {
    "DUC1/024": camera_pose(4.0, -2.0, 1.0, turn=0.8),
    "DUC2/101": camera_pose(-3.0, 5.0, 0.5, tilt=3.0),
}
WORLDS = {"DUC1/024": ROOM, "DUC2/101": OTHER_ROOM}
CUTOUTS = DATABASE[::2]
QUERIES = {"DUC1/024": DAY, "DUC2/101": NIGHT}


def inloc_tree(folder):
    """Three cutouts a scan, of 60 degrees; queries have an iPhone's focal length."""
    for scan, building_scan in SCANS.items():
        building, number = scan.split("/")
        world = WORLDS[scan]
        cutouts = folder / f"database/cutouts/{scan}"
        focal = WIDTH / 2 / np.tan(np.pi / 6)
        camera = replace(make_camera(), fx=focal, fy=focal)
        v, u = np.mgrid[:HEIGHT, :WIDTH]
        for i, pose in enumerate(CUTOUTS):
            image, depth = render(pose, world=world, focal=focal)
            seen = camera.unproject(np.stack([u, v], -1).reshape(-1, 2), depth.ravel())
            points = transforms.apply(pose, seen).reshape(HEIGHT, WIDTH, 3)
            points[:3, :5] = np.nan  # a hole
            write_image(cutouts / f"DUC_cutout_{number}_{i}_0.jpg", image)
            savemat(cutouts / f"DUC_cutout_{number}_{i}_0.jpg.mat", {"XYZcut": points})
        file = folder / f"database/alignments/{building}/transformations/DUC_trans_{number}.txt"
        matrix = [" ".join(f"{x:.9g}" for x in row) for row in building_scan]
        lines(file, ["Before general icp:", *["1 0 0 0"] * 4, "", "After general icp:", *matrix])
        for i, pose in enumerate(QUERIES[scan]):
            image, _ = render(pose, world=world, focal=WIDTH * 28 / 36)
            write_image(folder / f"query/iphone7/IMG_{number}{i}.JPG", image)
    return folder


def inloc_truths():
    """Building <- camera by a query's name, with its building before."""
    return {
        f"{scan.split('/')[0]}/IMG_{scan[-3:]}{i}.JPG": SCANS[scan] @ pose
        for scan, poses in QUERIES.items()
        for i, pose in enumerate(poses)
    }


def aachen_truths():
    """World <- camera by a query's name."""
    return {
        f"{group}_{i}.png": pose
        for group, poses in (("day", DAY), ("night", NIGHT))
        for i, pose in enumerate(poses)
    }


def write_truths(file, truths):
    """The file of `--query-poses`."""
    lines(file, [f"{name} {colmap_numbers(pose)}" for name, pose in truths.items()])
    return file
