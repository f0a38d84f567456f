# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Fits the weights of `localization/confidence.py`, and says how well they are calibrated.

    python3 -m bench.confidence office:10 desk_turning:8 --front-end xfeat sift --scenes 10

Each pose is judged before it is accepted or refused: of recordings, of the same maps without depth,
and of rendered places that look alike. The even queries and scenes are fitted, the odd ones are
reported.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from bench._scenes import add_keyframes

if TYPE_CHECKING:
    from mast3r_ros.frame import Frame
    from mast3r_ros.geometry.robust_pose import Estimate
    from mast3r_ros.geometry.transforms import Pose
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.localization.confidence import Signs

Judged = tuple["Signs", bool, bool]  # what speaks for a pose, whether it is right and accepted
# How exact a pose is is another question: one that is off by what it says is in the right place, up
# to the 99.9th percentile of chi-square with 6 degrees of freedom.
_NEAR, _EXPLAINED = (0.25, np.deg2rad(5.0)), 22.5
_NOWHERE = np.eye(4)
_NOWHERE[0, 3] = 1e6
_KINDS = ("twin_rooms", "two_sided", "poster", "floor")
# No check but that for other poses refuses: what speaks for a wrong pose is wanted, too.
_LAX = {
    "min_cells": 1,
    "min_inlier_ratio": 1e-6,
    "max_position_sigma": 100.0,
    "max_rotation_sigma": 3.2,
}
# Weights are taken to be of the size of one: a normal prior, so that few wrong poses fit.
_PRIOR = 0.01


def judge(keyframes: KeyframeMap, queries: Iterable[tuple[Frame, Pose]]) -> Iterator[Judged]:
    """What speaks for the last pose of each query that has one."""
    from mast3r_ros.localization import relocalizer
    from mast3r_ros.localization.confidence import Signs
    from mast3r_ros.localization.options import RelocalizerOptions
    from mast3r_ros.localization.verification import agreeing_keyframes

    verify, last = relocalizer.verify, list[tuple[Any, Signs]]()

    def watched(answer: Any, matches: Any, shared: Any, explained: Any, views: Any, *limits: Any):
        _, min_ratio, options = limits
        lax = replace(options, **_LAX)
        judged = verify(answer, matches, shared, explained, views, 1, min_ratio, lax)
        ratios = [
            m.inlier_ratio / options.needed_ratio(m.correspondences.min_inlier_ratio, min_ratio)
            for m in explained
        ]
        told = judged.signs
        last[:] = [
            (
                answer,
                Signs(
                    max(ratios),
                    agreeing_keyframes(explained),
                    0.0 if told is None else told.evidence,
                ),
            )
        ]
        return verify(answer, matches, shared, explained, views, *limits)

    loop = relocalizer.Relocalizer(keyframes, RelocalizerOptions(second_look=0.0))
    with mock.patch.object(relocalizer, "verify", watched):
        for frame, truth in queries:
            last.clear()
            answer = loop.localize(frame)
            for solved, signs in last:
                yield signs, _right(solved, truth), answer.localized


def _right(solved: Estimate, truth: Pose) -> bool:
    """Whether a pose is near the truth, or no farther from it than it says."""
    from mast3r_ros.geometry import transforms

    meters = transforms.distance(solved.pose, truth)
    if meters < _NEAR[0] and transforms.rotation_angle(solved.pose, truth) < _NEAR[1]:
        return True
    error = transforms.difference(solved.pose, truth)
    return bool(error @ np.linalg.solve(solved.covariance, error) < _EXPLAINED)


def recorded(source: Path, every: int, front_end: str, depth: bool) -> list[Judged]:
    """The poses of a recording's images in a map of every n-th of them."""
    from mast3r_ros.datasets import open_dataset
    from mast3r_ros.datasets.recording import read_frames
    from mast3r_ros.evaluation.run import every_nth, the_others
    from mast3r_ros.frontends import create
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap

    images = list(open_dataset(source).posed())
    keyframes = KeyframeMap(create(front_end))
    for image, frame in read_frames(every_nth(images, every), with_depth=depth):
        keyframes.add(frame, image.true_pose)
    others = read_frames(the_others(images, every), with_depth=False)
    return list(judge(keyframes, ((frame, image.true_pose) for image, frame in others)))


def rendered(scenes: Iterable[int], front_end: str, queries: int = 10) -> list[Judged]:
    """The poses of images of rendered places that look alike."""
    from mast3r_ros.frame import Frame
    from mast3r_ros.frontends import create
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.training.worlds.ambiguous import AmbiguousWorld

    worlds = [AmbiguousWorld(kind, told, seed=0) for kind in _KINDS for told in (False, True)]
    engine, found = create(front_end), list[Judged]()
    for number in scenes:
        scenes_of = [world.scene(number, queries) for world in worlds]
        for scene in scenes_of:
            keyframes = KeyframeMap(engine)
            add_keyframes(keyframes, scene)
            images = [(Frame(view.image, view.camera), view.pose) for view in scene.queries]
            if scene is scenes_of[0]:
                # Images of a place that is not mapped: any pose is wrong.
                strange = scenes_of[-1].queries
                images += [(Frame(v.image, v.camera), _NOWHERE @ v.pose) for v in strange]
            found += judge(keyframes, images)
    return found


def fit(judged: Sequence[Judged]) -> NDArray[np.float64]:
    """The most likely weights of a logistic model, each set of poses counting by its size."""
    features = np.array([signs.features for signs, _, _ in judged])
    sign = np.where([right for _, right, _ in judged], 1.0, -1.0)

    def cost(weights: NDArray[np.float64]) -> float:
        loss = np.logaddexp(0.0, -sign * (features @ weights))
        return float(loss.sum() + _PRIOR * (weights**2).sum())

    return np.asarray(minimize(cost, np.zeros(features.shape[1]), method="BFGS").x)


def report(name: str, judged: Sequence[Judged], weights: NDArray[np.float64]) -> None:
    """Print how often poses are right by the probability that they have."""
    from mast3r_ros.evaluation.calibration import calibration_error, reliability_bins

    probability = expit(np.array([signs.features for signs, _, _ in judged]) @ weights)
    right = np.array([right for _, right, _ in judged])
    accepted = np.array([accepted for _, _, accepted in judged])
    bins = reliability_bins(probability, right)
    print(
        f"{name}: {len(judged)} poses, {right.mean():.1%} right, mean probability "
        f"{probability.mean():.1%}, calibration error {calibration_error(bins):.3f}"
    )
    for part in bins:
        print(f"  {part['confidence']:.2f}: {part['right']:.2f} right of {part['poses']}")
    if accepted.any():
        print(
            f"  accepted: {accepted.sum()}, {right[accepted].mean():.1%} right, mean probability "
            f"{probability[accepted].mean():.1%}, least {probability[accepted].min():.2f}"
        )


def main() -> int:
    """Print the weights and the reliability."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="*", default=[], help="FOLDER:EVERY")
    parser.add_argument("--front-end", nargs="+", default=["sift"])
    parser.add_argument("--scenes", type=int, default=2, help="of each kind, rendered")
    arguments = parser.parse_args()
    halves: dict[str, tuple[list[Judged], list[Judged]]] = {}
    for front_end in arguments.front_end:
        for recording in arguments.recordings:
            folder, every = recording.rsplit(":", 1)
            for depth in (True, False):
                name = f"{recording} {front_end}{'' if depth else ' without depth'}"
                poses = recorded(Path(folder), int(every), front_end, depth)
                halves[name] = poses[::2], poses[1::2]
        parts = [rendered(range(i, arguments.scenes, 2), front_end) for i in (0, 1)]
        halves[f"rendered {front_end}"] = parts[0], parts[1]
    fitted = [pose for even, _ in halves.values() for pose in even]
    weights = fit(fitted)
    print("weights", ", ".join(f"{w:.2f}" for w in weights))
    report("fitted", fitted, weights)
    for name, (_, odd) in halves.items():
        if odd:
            report(name, odd, weights)
    report("all but those fitted", [pose for _, odd in halves.values() for pose in odd], weights)
    return 0


if __name__ == "__main__":
    sys.exit(main())
