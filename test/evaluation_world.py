# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The textured wall of `synthetic`, two meters ahead, as recordings with known poses."""

from pathlib import Path

import cv2
import numpy as np
from synthetic import make_camera, render

from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms

CAMERA = make_camera()
POSES = [
    transforms.make(transforms.rotation_from_vector([0.0, 0.02 * i, 0.0]), [0.06 * i, 0.0, 0.0])
    for i in range(7)
]


def view(pose, stamp=0, with_depth=True):
    """What a camera sees from a pose."""
    image, depth = render(pose)
    return Frame(image, CAMERA, stamp, "lens", depth if with_depth else None)


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


def write_tum(folder: Path, depth_scale=1000.0, poses=POSES) -> Path:
    """The poses' views as a TUM folder, half a second apart."""
    for kind in ("rgb", "depth"):
        (folder / kind).mkdir(parents=True)
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for i, pose in enumerate(poses):
        name, frame = f"{i / 2:.6f}.png", view(pose)
        cv2.imwrite(str(folder / "rgb" / name), frame.image[..., ::-1])
        raw = np.rint(frame.depth * depth_scale).astype(np.uint16)
        raw[:5] = 0
        cv2.imwrite(str(folder / "depth" / name), raw)
        lines.append(f"{i / 2:.6f} {pose_line(pose)}")
    (folder / "groundtruth.txt").write_text("\n".join(lines) + "\n")
    write_calibration(folder / "camera_info.yaml")
    return folder
