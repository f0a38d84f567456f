# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A textured wall, two metres ahead, as recordings with known poses."""

from pathlib import Path

import cv2
import numpy as np

from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera

CAMERA = Camera(320, 240, 300.0, 300.0, 159.5, 119.5)
WALL = 2.0
POSES = [
    transforms.make(transforms.rotation_from_vector([0.0, 0.02 * i, 0.0]), [0.06 * i, 0.0, 0.0])
    for i in range(7)
]

_noise = np.random.default_rng(5)
_TEXTURE = (
    sum(
        cv2.resize(
            _noise.uniform(0, 255, (side, side, 3)), (900, 900), interpolation=cv2.INTER_CUBIC
        )
        for side in (25, 60, 120, 300)
    )
    / 4
)


def view(pose, stamp=0, with_depth=True):
    """What a camera sees from a pose."""
    u, v = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    rays = np.dstack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)])
    rays = rays @ pose[:3, :3].T
    depth = (WALL - pose[2, 3]) / rays[..., 2]
    hit = (rays * depth[..., None] + pose[:3, 3])[..., :2] * 200 + 450
    x, y = np.moveaxis(hit.astype(np.float32), -1, 0)
    image = cv2.remap(_TEXTURE, x, y, cv2.INTER_LINEAR)
    image = np.clip(image, 0, 255).astype(np.uint8)
    return Frame(image, CAMERA, stamp, "lens", depth.astype(np.float32) if with_depth else None)


def pose_line(pose):
    """As in a trajectory file."""
    translation, quaternion = transforms.to_quaternion(pose)
    return " ".join(f"{value:.9f}" for value in (*translation, *quaternion))


def write_calibration(path):
    """A ROS calibration file of the camera."""
    matrix = ", ".join(map(str, CAMERA.matrix.ravel()))
    path.write_text(
        f"image_width: {CAMERA.width}\nimage_height: {CAMERA.height}\n"
        f"camera_matrix:\n  rows: 3\n  cols: 3\n  data: [{matrix}]\n"
    )


def write_tum(folder: Path, depth_scale=1000.0) -> Path:
    """The poses' views as a TUM folder, half a second apart."""
    for kind in ("rgb", "depth"):
        (folder / kind).mkdir(parents=True)
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for i, pose in enumerate(POSES):
        name, frame = f"{i / 2:.6f}.png", view(pose)
        cv2.imwrite(str(folder / "rgb" / name), frame.image[..., ::-1])
        raw = np.rint(frame.depth * depth_scale).astype(np.uint16)
        raw[:5] = 0
        cv2.imwrite(str(folder / "depth" / name), raw)
        lines.append(f"{i / 2:.6f} {pose_line(pose)}")
    (folder / "groundtruth.txt").write_text("\n".join(lines) + "\n")
    write_calibration(folder / "camera_info.yaml")
    return folder
