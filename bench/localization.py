# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A whole query by stage with `xfeat`: processor time, keyframes matched, second looks.

    python -m bench localization                                  # rendered rooms
    python -m bench.localization DIR --every 10 --front-end sift  # a recording
    python -m bench.localization DIR --before ../before           # and another version, in turns

Times are processor time on the threads that OMP_NUM_THREADS allows: what other programs do on the
machine matters little. With `--before`, the working tree of another version, built, each version
runs in a process of its own, and the least of all turns counts for each query.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np

if TYPE_CHECKING:
    from mast3r_ros.frame import Frame
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.localization.result import Localization

_STAGES = ("describe", "retrieve", "match", "solve", "match again")
_ROOMS, _QUERIES = 2, 6
# Queries of which windows are made.
_WINDOWS = 12


def rendered(front_end: str) -> tuple[KeyframeMap, list[Frame]]:
    """A map of rendered rooms, and images of it."""
    from bench._scenes import add_keyframes  # not in a part: the other version has no such module
    from mast3r_ros.frame import Frame
    from mast3r_ros.frontends import create
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.training.worlds.ambiguous import AmbiguousWorld

    world = AmbiguousWorld("twin_rooms", True, seed=0)
    keyframes, queries = KeyframeMap(create(front_end)), []
    for room in range(_ROOMS):
        scene = world.scene(room, _QUERIES)
        add_keyframes(keyframes, scene)
        queries += [Frame(view.image, view.camera) for view in scene.queries]
    return keyframes, queries


def recorded(source: Path, every: int, front_end: str) -> tuple[KeyframeMap, list[Frame]]:
    """A map of every n-th image of a recording, and the others."""
    from mast3r_ros.datasets import open_dataset
    from mast3r_ros.datasets.recording import read_frames
    from mast3r_ros.evaluation.run import every_nth, the_others
    from mast3r_ros.frontends import create
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap

    images = list(open_dataset(source).posed())
    keyframes = KeyframeMap(create(front_end))
    for image, frame in read_frames(every_nth(images, every), with_depth=True):
        keyframes.add(frame, image.true_pose)
    queries = read_frames(the_others(images, every), with_depth=False)
    return keyframes, [frame for _, frame in queries]


def localize(keyframes: KeyframeMap, queries: Sequence[Frame]) -> Iterator[Localization]:
    """Localize with the stages' clock set to processor time."""
    from mast3r_ros.localization import relocalizer

    clock = SimpleNamespace(perf_counter=time.process_time)
    with mock.patch.object(relocalizer, "time", clock):
        loop = relocalizer.Relocalizer(keyframes)
        loop.localize(queries[0])  # warm-up
        for query in queries:
            yield loop.localize(query)


def windows(
    keyframes: KeyframeMap, queries: Sequence[Frame]
) -> Iterator[tuple[Localization, Localization]]:
    """Each image alone, and as the newest of a window of five, on a robot that stands still."""
    from mast3r_ros.localization import relocalizer
    from mast3r_ros.localization.window import Window

    clock = SimpleNamespace(perf_counter=time.process_time)
    with mock.patch.object(relocalizer, "time", clock):
        window = Window(relocalizer.Relocalizer(keyframes))
        spacing = round(window.options.spacing * 1e9)
        for query in queries:
            window.reset()
            answers = [
                window.localize(replace(query, stamp=number * spacing), np.eye(4))
                for number in range(window.options.count)
            ]
            yield answers[0], answers[-1]


def stages(source: Path, every: int, front_end: str) -> list[dict[str, float]]:
    """Processor time of each query of a recording by stage [s], with the version imported."""
    clock = SimpleNamespace(perf_counter=time.process_time, monotonic=time.monotonic)
    try:
        from mast3r_ros.localization import relocalizer

        keyframes, queries = recorded(source, every, front_end)
        locate = relocalizer.Relocalizer(keyframes).localize
    except ImportError:  # a version before the floors of today
        from mast3r_ros import frontends, relocalizer
        from mast3r_ros.evaluation.run import split
        from mast3r_ros.evaluation.trajectories import read_tum
        from mast3r_ros.mapping.keyframe_map import KeyframeMap

        chosen, others = split(read_tum(source), every)
        keyframes = KeyframeMap(frontends.create(front_end))
        for image in chosen:
            keyframes.add(image.load(True), image.pose)
        queries = [image.load(False) for image in others]
        locate = relocalizer.Relocalizer(keyframes).locate
    with mock.patch.object(relocalizer, "time", clock):
        locate(queries[0])  # warm-up
        return [locate(query).timings for query in queries]


def compare(before: Path, arguments: argparse.Namespace) -> None:
    """Print the medians of two versions."""
    from bench._versions import run_in

    part = [str(arguments.source.resolve()), "--every", str(arguments.every), "--part"]
    part += ["--front-end", arguments.front_end]
    trees = {"before": before.resolve(), "after": Path(__file__).resolve().parents[1]}
    taken: dict[str, list[list[dict[str, float]]]] = {name: [] for name in trees}
    for _ in range(arguments.turns):
        for name, tree in trees.items():
            taken[name].append(run_in(tree, Path(__file__), part))
    for name, turns in taken.items():
        stage = {
            s: np.array([[query.get(s, 0.0) for query in turn] for turn in turns]).min(0)
            for s in _STAGES
        }
        whole = np.array([[sum(query.values()) for query in turn] for turn in turns]).min(0)
        parts = ", ".join(f"{s} {1e3 * np.median(t):.1f}" for s, t in stage.items())
        print(f"{name:6} median {1e3 * np.median(whole):.1f} ms: {parts}")


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, nargs="?", help="a recording")
    parser.add_argument("--before", type=Path, help="working tree of another version, built")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--front-end", default="xfeat")
    arguments = parser.parse_args()
    name = arguments.front_end
    if arguments.part:
        print(json.dumps(stages(arguments.source, arguments.every, name)))
        return 0
    if arguments.before is not None:
        if arguments.source is None:
            parser.error("--before needs a recording")
        compare(arguments.before, arguments)
        return 0
    if arguments.source is None:
        keyframes, queries = rendered(name)
    else:
        keyframes, queries = recorded(arguments.source, arguments.every, name)
    answers = list(localize(keyframes, queries))
    localized = sum(answer.localized for answer in answers)
    matched = np.mean([len(answer.matches) for answer in answers])
    again = sum("match again" in answer.timings for answer in answers)
    print(f"{name}, {len(queries)} queries, {len(keyframes)} keyframes: {localized} localized,")
    print(f"{matched:.1f} keyframes matched a query, {again} second looks; processor time [ms]:")
    for stage in _STAGES:
        times = [1e3 * a.timings[stage] for a in answers if stage in a.timings]
        if times:
            print(
                f"  {stage:12} median {np.median(times):6.1f}  p95 {np.percentile(times, 95):6.1f}"
            )
    first = [1e3 * sum(a.timings.values()) for a in answers if "match again" not in a.timings]
    print(
        f"  {'first look':12} median {np.median(first):6.1f}  p95 {np.percentile(first, 95):6.1f}"
    )
    print_windows(keyframes, queries[:: max(len(queries) // _WINDOWS, 1)])
    return 0


def print_windows(keyframes: KeyframeMap, queries: Sequence[Frame]) -> None:
    """Print how long a window takes, and how much longer than the same images alone."""
    taken = np.array(
        [
            [1e3 * sum(answer.timings.values()) for answer in both]
            for both in windows(keyframes, queries)
            if not any("match again" in answer.timings for answer in both)
        ]
    )
    alone, together = np.median(taken, axis=0)
    print(
        f"  {'window of 5':12} median {together:6.1f}  p95 {np.percentile(taken[:, 1], 95):6.1f}, "
        f"{together / alone:.2f} times the {len(taken)} images alone ({alone:.1f})"
    )


if __name__ == "__main__":
    raise SystemExit(main())
