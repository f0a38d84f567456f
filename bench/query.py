# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One query against K keyframes of which one matches, with two versions of this package.

The versions take turns, each in a process of its own that imports it from its working tree; a
second one is made by `git worktree add ../before COMMIT`, and built there. Where the version has no
such option, all K keyframes get their points. The figures are processor time: what other programs
do on the machine matters little.

    python -m bench query                        # nano, this version alone
    python -m bench.query --before ../before     # nano, both versions
    python -m bench.query --before ../before --weights random.safetensors --keyframes 4
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
_WIDTH, _HEIGHT = 640, 480


def front_end_of(weights: str) -> Any:
    """The front end `mast3r` of the version that is imported, in float32 on the CPU."""
    from mast3r_ros.engines.torch_engine import TorchEngine
    from mast3r_ros.network.checkpoint import load_checkpoint
    from mast3r_ros.network.fetch import nano_checkpoint

    try:
        from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd
        from mast3r_ros.frontends.mast3r.options import Mast3rOptions
    except ImportError:  # a version in which it was one module
        from mast3r_ros.frontends.mast3r import Mast3rFrontEnd, Mast3rOptions  # type: ignore

    path = nano_checkpoint() if weights == "nano" else Path(weights)
    options = {"scale_from_depth": "off"}
    if "point_maps" in inspect.signature(Mast3rOptions).parameters:
        options["point_maps"] = 1
    engine = TorchEngine(load_checkpoint(path), batch=1)
    return Mast3rFrontEnd(Mast3rOptions(**options), engine)


def measure(weights: str, keyframes: int, runs: int) -> dict[str, float]:
    """Median processor time [s] of describing a query and of matching it."""
    from mast3r_ros.frame import Frame
    from mast3r_ros.geometry.camera import Camera

    front_end = front_end_of(weights)
    camera = Camera(_WIDTH, _HEIGHT, 525.0, 525.0, (_WIDTH - 1) / 2, (_HEIGHT - 1) / 2)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, _HEIGHT, _WIDTH, 3)).astype(np.uint8)
    keyframe, _ = (front_end.describe(Frame(image, camera)) for image in images)
    times = []
    for _ in range(runs):
        start = time.process_time()
        query = front_end.describe(Frame(images[1], camera))
        described = time.process_time()
        front_end.match([keyframe] * keyframes, query)
        times.append((described - start, time.process_time() - described))
    describe, match = np.median(times, axis=0)
    figures = {"describe": float(describe), "match": float(match)}
    engine = front_end.network
    if hasattr(engine, "points"):
        decoded = engine.decode([(keyframe.encoded, query.encoded)])
        start = time.process_time()
        engine.points(decoded)
        figures["points"] = time.process_time() - start
    return figures


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="working tree of another version, built")
    parser.add_argument("--weights", default="nano", help="nano, or a file")
    parser.add_argument("--keyframes", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(measure(arguments.weights, arguments.keyframes, arguments.runs)))
        return 0
    from bench._versions import run_in  # not in a part: the other version has no such module

    trees = {"after": ROOT}
    if arguments.before is not None:
        trees = {"before": arguments.before.resolve(), **trees}
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
    part = ["--part", "--weights", arguments.weights, "--keyframes", str(arguments.keyframes)]
    part += ["--runs", str(arguments.runs)]
    for _ in range(arguments.turns):
        for name, tree in trees.items():
            taken[name].append(run_in(tree, Path(__file__), part))
    print(f"{arguments.weights}, {arguments.keyframes} keyframes, processor time [s]")
    for name, figures in taken.items():
        least = {key: min(each[key] for each in figures) for key in figures[0]}
        together = least["describe"] + least["match"]
        parts = ", ".join(f"{key} {value:.3f}" for key, value in least.items())
        print(f"  {name:6} {parts}; describe and match {together:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
