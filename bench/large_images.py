# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images of 12 megapixels with `sift`, in full and at the working size: time, memory, pose.

Each runs in a process of its own, which describes a keyframe with depth, describes a query and
localizes it. Processor time, and the largest memory beyond that before the first image.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

_WIDTH, _HEIGHT, _FOCAL, _DISTANCE = 4000, 3000, 3200.0, 2.0
_SHIFT = 0.1003  # of the query, to the right [m]
_SIDES = (100_000, 3200, 1600, 1000)


def _wall() -> np.ndarray:
    """(H, W + 400, 3): a picture with details of all sizes, down to a pixel."""
    random = np.random.default_rng(1)
    size = (_WIDTH + 400, _HEIGHT)
    layers = [
        cv2.resize(random.uniform(0, 255, (s, s, 3)).astype(np.float32), size)
        for s in (40, 120, 360, 1080, 2400)
    ]
    return np.uint8(np.mean(layers, axis=0))


def _peak() -> float:
    """Largest resident memory of this process so far [MiB]."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def run(side: int) -> dict[str, float]:
    """Figures with a working size of `side` pixels, in this process."""
    from mast3r_ros import Camera, Frame, KeyframeMap, Relocalizer
    from mast3r_ros.frontends.options import SiftOptions
    from mast3r_ros.frontends.sift import SiftFrontEnd

    cv2.setNumThreads(1)
    wall, camera = _wall(), Camera(_WIDTH, _HEIGHT, _FOCAL, _FOCAL, 1999.5, 1499.5)
    depth = np.full((_HEIGHT, _WIDTH), _DISTANCE, np.float32)
    pixels = _SHIFT * _FOCAL / _DISTANCE
    first = np.ascontiguousarray(wall[:, :_WIDTH])
    motion = np.float32([[1, 0, -pixels], [0, 1, 0]])
    second = cv2.warpAffine(wall, motion, (_WIDTH, _HEIGHT), flags=cv2.INTER_CUBIC)
    noise = np.random.default_rng(2).normal(0, 3, (_HEIGHT, _WIDTH, 1)).astype(np.float32)
    second = np.clip(second + noise, 0, 255).astype(np.uint8)
    del wall, noise
    front_end = SiftFrontEnd(SiftOptions(max_image_side=side))
    keyframes = KeyframeMap(front_end)
    Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is held now
    before = _peak()
    keyframes.add(Frame(first, camera, depth=depth), np.eye(4))
    started = time.process_time()
    front_end.describe(Frame(second, camera))
    described = time.process_time() - started
    answer = Relocalizer(keyframes).localize(Frame(second, camera))
    truth = np.array([_SHIFT, 0.0, 0.0])
    error = np.nan if answer.pose is None else np.linalg.norm(answer.pose[:3, 3] - truth)
    return {
        "describe": described,
        "memory": _peak() - before,
        "error": float(error),
        "inliers": answer.inliers,
    }


def main() -> int:
    """Print the figures; returns the exit status."""
    if len(sys.argv) > 1:
        print(json.dumps(run(int(sys.argv[1]))))
        return 0
    print(f"{_WIDTH}x{_HEIGHT} px   describe [s]   memory [MiB]   error [mm]   inliers")
    for side in _SIDES:
        command = [sys.executable, "-m", "bench.large_images", str(side)]
        found = json.loads(subprocess.check_output(command, text=True))
        name = "in full" if side >= _WIDTH else f"at {side}"
        print(
            f"{name:<12} {found['describe']:14.2f} {found['memory']:14.0f} "
            f"{1e3 * found['error']:12.2f} {found['inliers']:9}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
