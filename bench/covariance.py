# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether the covariance is right: NEES and coverage in rendered rooms, where the truth is exact.

    python3 -m bench.covariance --front-end xfeat --scenes 25
    python3 -m bench.covariance --front-end xfeat --scenes 25 --common --seed 1 3 5 7

Keyframe poses and depth are disturbed by what the options claim of a map. `--common` also moves all
keyframes together by as much: the estimator allows for errors that they have in common,
as those of calibration, the clock and the registration of depth are.

The poses are also split into quarters by their inliers and by their parallax: the median angle
between the rays of an inlier from the query and from its keyframe.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench._scenes import add_keyframes

if TYPE_CHECKING:
    from mast3r_ros.frontends.base import FrontEnd
    from mast3r_ros.geometry.transforms import Pose
    from mast3r_ros.keyframes.keyframe import Keyframe
    from mast3r_ros.localization.options import RelocalizerOptions
    from mast3r_ros.localization.result import Localization
    from mast3r_ros.training.worlds.ambiguous import Scene

_QUERIES = 10


@dataclass(frozen=True)
class Judged:
    """An accepted pose.

    Attributes:
        nees: of its error.
        inliers: that it has.
        parallax: median over its inliers with a point [rad].
        right: within 25 cm and 5 degrees.
    """

    nees: float
    inliers: int
    parallax: float
    right: bool


def noisy(scene: Scene, sigma: float, random: np.random.Generator) -> Scene:
    """The scene with the noise of a depth sensor, `sigma` at 1 m [m], in its keyframes."""
    keyframes = []
    for view in scene.keyframes:
        noise = random.normal(0.0, sigma, view.depth.shape) * view.depth**2
        keyframes.append(replace(view, depth=(view.depth + noise).astype(np.float32)))
    return replace(scene, keyframes=tuple(keyframes))


def moved(
    keyframes: Iterable[Keyframe],
    options: RelocalizerOptions,
    common: bool,
    random: np.random.Generator,
) -> list[Keyframe]:
    """Keyframes with poses as wrong as the options say."""
    from mast3r_ros.geometry import transforms

    sigmas = np.repeat([options.keyframe_position_sigma, options.keyframe_rotation_sigma], 3)
    shared = random.normal(0.0, sigmas) * common
    return [
        replace(k, pose=transforms.perturb(k.pose, shared + random.normal(0.0, sigmas)))
        for k in keyframes
    ]


def one_room(scene: Scene) -> Scene:
    """The first of two equal rooms, with the images of both."""
    from mast3r_ros.training.worlds.ambiguous import TWIN_OFFSET

    def here(pose: Pose) -> Pose:
        back = pose.copy()
        back[:3, 3] -= TWIN_OFFSET * (pose[0, 3] > TWIN_OFFSET[0] / 2)
        return back

    count = len(scene.keyframes) // 2
    queries = tuple(replace(view, pose=here(view.pose)) for view in scene.queries)
    return replace(scene, keyframes=scene.keyframes[:count], queries=queries)


def judge(
    front_end: FrontEnd,
    scene: Scene,
    options: RelocalizerOptions,
    common: bool,
    random: np.random.Generator,
) -> Iterator[Judged]:
    """The accepted poses of a scene's queries, each in a map with other errors."""
    from mast3r_ros.evaluation.pose_error import Bound, PoseError
    from mast3r_ros.frame import Frame
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.localization.relocalizer import Relocalizer

    exact = KeyframeMap(front_end)
    add_keyframes(exact, noisy(scene, options.depth_noise, random))
    for view in scene.queries:
        keyframes = exact.derive(moved(exact, options, common, random))
        answer = Relocalizer(keyframes, options).localize(Frame(view.image, view.camera))
        if answer.pose is not None:
            error = PoseError.of(answer.pose, view.pose)
            right = error.within(Bound.of(0.25, 5.0))
            yield Judged(error.nees(answer.covariance), answer.inliers, parallax(answer), right)


def parallax(answer: Localization) -> float:
    """Median angle between an inlier's rays from the query and from its keyframe [rad]."""
    angles = []
    for match in answer.matches:
        if match.pose is None:
            continue
        points = match.correspondences.reference_points[match.inliers].astype(np.float64)
        away = points - match.pose[:3, 3]
        lengths = np.linalg.norm(points, axis=1) * np.linalg.norm(away, axis=1)
        angles.append(np.arccos(np.clip((points * away).sum(1) / lengths, -1.0, 1.0)))
    known = np.concatenate(angles)
    return float(np.nanmedian(known))


def report(name: str, judged: Sequence[Judged]) -> None:
    """Print a row: poses, NEES and coverage."""
    from mast3r_ros.evaluation.calibration import nees_figures

    figures = nees_figures([one.nees for one in judged])
    print(
        f"| {name} | {len(judged)} | {figures['mean']:.1f} | {figures['median']:.1f} | "
        f"{figures['p95']:.1f} | {100 * (figures['coverage_95'] or 0.0):.1f} % |"
    )


def quarters(
    judged: Sequence[Judged], value: Callable[[Judged], float]
) -> Iterator[tuple[tuple[float, float], list[Judged]]]:
    """The poses in four equal parts by a value, with its least and largest one."""
    order: NDArray[np.int64] = np.argsort([value(one) for one in judged], kind="stable")
    for part in np.array_split(order, 4):
        chosen = [judged[i] for i in part]
        yield (value(chosen[0]), value(chosen[-1])), chosen


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--front-end", default="sift")
    parser.add_argument("--scenes", type=int, default=2)
    parser.add_argument("--seed", type=int, nargs="+", default=[1], help="of the rooms; several")
    parser.add_argument("--common", action="store_true", help="errors of all keyframes, too")
    arguments = parser.parse_args()
    from mast3r_ros.frontends import create
    from mast3r_ros.localization.options import RelocalizerOptions
    from mast3r_ros.training.worlds.ambiguous import AmbiguousWorld

    # Rendered images have a global shutter.
    options = RelocalizerOptions(second_look=0.0, rolling_shutter=0.0)
    front_end, judged, queries = create(arguments.front_end), list[Judged](), 0
    for seed, number in itertools.product(arguments.seed, range(arguments.scenes)):
        world = AmbiguousWorld("twin_rooms", False, seed=seed)
        scene = one_room(world.scene(number, _QUERIES))
        random = np.random.default_rng([seed, number])
        judged += judge(front_end, scene, options, arguments.common, random)
        queries += len(scene.queries)
    wrong = sum(not one.right for one in judged)
    print(f"{arguments.front_end}: {len(judged)} of {queries} localized, {wrong} wrong")
    print("| poses | count | mean NEES | median | 95th percentile | within 95 % |")
    print("|---|---|---|---|---|---|")
    report("all", judged)
    for (least, most), part in quarters(judged, lambda one: one.inliers):
        report(f"{least:.0f} to {most:.0f} inliers", part)
    for (least, most), part in quarters(judged, lambda one: np.rad2deg(one.parallax)):
        report(f"{least:.1f} to {most:.1f} degrees of parallax", part)
    return 0


if __name__ == "__main__":
    sys.exit(main())
