# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Small trees in the layouts of benchmarks, and a solver that knows the truth."""

from collections.abc import Sequence

import numpy as np
from benchmark_layouts import write_co3d, write_seven_scenes
from synthetic import camera_pose, make_camera, render, view

from mast3r_ros.datasets.layouts import write_mapfree, write_re10k
from mast3r_ros.evaluation.benchmarks.answer import Answer, Solver
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms

# World <- camera; no two alike.
POSES = [camera_pose(0.1 * i, 0.02 * i, 0.05 * i, turn=0.03 * i, tilt=-0.01 * i) for i in range(7)]


class Oracle(Solver):
    """Answers with poses that were handed to it, in their order; None refuses."""

    def __init__(self, poses, ranks=None):
        super().__init__(None)
        self._answers = iter(zip(poses, ranks or [1.5] * len(poses), strict=True))
        self.queries = []

    def localize(self, keyframes, query, exact=False, **changes):
        self.queries.append(query)
        pose, rank = next(self._answers)
        return Answer(pose, pose, pose is not None, rank, 50, "LOCALIZED", 0.1)


def posed(numbers: Sequence[int]):
    """Frames of the room with their poses."""
    return [(view(POSES[i]), POSES[i]) for i in numbers]


def relative(i: int, j: int):
    """Camera i <- camera j."""
    return transforms.inverse(POSES[i]) @ POSES[j]


def mapfree_tree(folder, split="val", queries=(5, 9, 10), tracked=True):
    """Two scenes; frame n of a query is seen from pose n / 5 or so."""
    seen = {n: 1 + i for i, n in enumerate(queries)}
    for scene in ("s00460", "s00461"):
        images = {n: posed([i])[0] for n, i in seen.items()}
        # The device's frame is another one; its motion is exact.
        start = camera_pose(3.0, 1.0, -2.0, turn=0.7)
        device = {n: start @ POSES[i] for n, i in seen.items()} if tracked else None
        write_mapfree(folder / split / scene, posed([0])[0], images, device)
    return folder


def re10k_tree(folder, split="test"):
    """Two clips, of four and three frames."""
    write_re10k(
        folder / split, "aaaa", dict(zip((0, 33_333, 66_666, 99_999), posed(range(4)), strict=True))
    )
    write_re10k(folder / split, "bbbb", dict(zip((10, 20, 30), posed([6, 3, 0]), strict=True)))
    return folder


def co3d_tree(folder, split="test", length=3):
    """Two categories with a sequence each."""
    for category, numbers in (("apple", range(length)), ("bench", range(length, 2 * length))):
        write_co3d(folder, category, split, {"110_1": posed([n % 7 for n in numbers])})
    return folder


def seven_scenes_tree(folder):
    """One room, mapped by one sequence; images are as large as the data set's."""
    camera = make_camera(640, 480)

    def shot(pose):
        image, depth = render(pose, 640, 480)
        return Frame(image, camera, depth=depth), pose

    sequences = {1: [shot(POSES[i]) for i in (0, 2, 4)], 2: [shot(POSES[i]) for i in (1, 3)]}
    write_seven_scenes(folder / "chess", sequences, test=[2])
    return folder


def disturbed(pose, meters=0.0, degrees=0.0):
    """A pose that is off by a distance along x and an angle about y."""
    moved = np.array(pose)
    moved[:3, 3] += [meters, 0.0, 0.0]
    turn = transforms.rotation_from_vector([0.0, np.deg2rad(degrees), 0.0])
    moved[:3, :3] = moved[:3, :3] @ turn
    return moved
