# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Maps of 2,000, 8,000 and 100,000 keyframes of 0.3 MB, made up; and saves that fail.

    TMPDIR=/large/disk python -m bench maps        # 33 GB of disk
    MAST3R_ROS_BENCH_MAPS="2000 8000" python -m bench maps
    MAST3R_ROS_BENCH_FEATURES=300 python -m bench maps    # keyframes of 0.13 MB, 13 GB of disk

Prints a table: opening, memory (RssAnon), `nearest` without and with a prior, reading the contents
of a keyframe, adding one, committing one, and recall of the trained index against exact search.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

_SIZES = "2000 8000 100000"
_QUERIES, _SAVES, _KILLS = 200, 30, 100


def main() -> None:
    """Print the tables."""
    from bench import _map_faults
    from bench._made_up_map import FEATURES, multiply

    with tempfile.TemporaryDirectory(prefix="bench-maps-") as name:
        folder, rows = Path(name), []
        features = int(os.environ.get("MAST3R_ROS_BENCH_FEATURES", FEATURES))
        for count in map(int, os.environ.get("MAST3R_ROS_BENCH_MAPS", _SIZES).split()):
            needed = count * (50_000 + 310 * features) + 1e9
            if shutil.disk_usage(folder).free < needed:
                print(f"{count} keyframes: not tried, {needed / 1e9:.0f} GB of disk are needed")
                continue
            started = time.perf_counter()
            for _ in multiply(folder / "map", count, features):
                pass
            built = time.perf_counter() - started
            done = subprocess.run(
                [sys.executable, "-m", "bench.maps", str(folder / "map"), str(count)],
                check=True,
                stdout=subprocess.PIPE,
            )
            rows.append({**json.loads(done.stdout), "made up in [s]": built})
            print(json.dumps(rows[-1]), flush=True)
            shutil.rmtree(folder / "map")
        print(_table(rows))
        commits, hot = _map_faults.killed_saves(folder / "killed", _KILLS)
        print(f"{_KILLS} kills: {commits} commits, {hot} kills left a journal, every map whole")
        read, slowest = _map_faults.read_by_two(folder / "read", 50)
        print(f"two readers during 50 commits: {read} keyframes read, slowest {slowest:.0f} ms")
        print(_map_faults.on_a_small_disk(folder / "disk"))


def _table(rows: list[dict[str, float]]) -> str:
    names = list(rows[0])[1:] if rows else []
    lines = ["| keyframes | " + " | ".join(f"{row['keyframes']:,.0f}" for row in rows) + " |"]
    lines.append("|---" * (len(rows) + 1) + "|")
    for name in names:
        lines.append(f"| {name} | " + " | ".join(f"{row[name]:.3g}" for row in rows) + " |")
    return "\n".join(lines)


def _measure(path: Path, count: int) -> dict[str, float]:
    """In a process of its own: what a map costs."""
    from bench._made_up_map import MadeUp
    from mast3r_ros.frontends.sift import SiftFrontEnd
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.keyframes.retrieval import PosePrior

    # The first save trains the index of a large map.
    figures: dict[str, float] = {"keyframes": count}
    subprocess.run([sys.executable, "-c", _TRAIN, str(path)], check=True, stdout=subprocess.DEVNULL)
    made_up, front_end = MadeUp(count), SiftFrontEnd()
    figures["anonymous memory before [MB]"] = _anonymous()
    opened: list[KeyframeMap] = []
    _time(figures, "open", lambda _: opened.append(KeyframeMap.load(path, front_end)), 1)
    (keyframes,) = opened
    figures["anonymous memory, opened [MB]"] = _anonymous()
    places = [int(p) for p in np.random.default_rng(1).integers(made_up.places, size=_QUERIES)]
    queries = [made_up.described(place) for place in places]
    covariance = np.diag([0.01] * 3 + [0.01] * 3)
    priors = [PosePrior(made_up.pose(place), covariance) for place in places]
    found: list[list] = []
    _time(figures, "nearest", lambda i: found.append(keyframes.nearest(queries[i], 5)), _QUERIES)
    _time(
        figures,
        "nearest, prior",
        lambda i: keyframes.nearest(queries[i], 5, priors[i]),
        _QUERIES,
    )
    _time(figures, "read one", lambda i: found[i][0].description, _QUERIES)
    figures["anonymous memory, used [MB]"] = _anonymous()
    _time(
        figures,
        "add one",
        lambda i: keyframes.add(made_up.frame, priors[i].pose, queries[i]),
        _SAVES,
    )
    keyframes.save(path)
    taken = []
    for number in range(_SAVES):
        keyframes.add(made_up.frame, priors[number].pose, queries[number])
        taken += _times(lambda _: keyframes.save(path), 1)
    _note(figures, "commit one", taken)
    exact = _exact(path, np.array([q.global_descriptor for q in queries]), 5, count)
    figures["recall at 5"] = float(
        np.mean(
            [len({k.id for k in a} & {*b}) / 5 for a, b in zip(found, exact.tolist(), strict=True)]
        )
    )
    figures["file [GB]"] = (path / "map.sqlite").stat().st_size / 1e9
    return figures


_TRAIN = """
import sys, time
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.keyframes.keyframe_map import KeyframeMap

keyframes = KeyframeMap.load(sys.argv[1], SiftFrontEnd())
started = time.perf_counter(), time.process_time()
keyframes.save(sys.argv[1])
taken = time.perf_counter() - started[0], time.process_time() - started[1]
print(f"first save: {taken[0]:.1f} s, {taken[1]:.1f} s of processor time", file=sys.stderr)
"""


def _time(
    figures: dict[str, float], name: str, function: Callable[[int], object], count: int
) -> None:
    _note(figures, name, _times(function, count))


def _note(figures: dict[str, float], name: str, taken: list[tuple[float, float]]) -> None:
    """Median and 95th percentile of wall time, and median of processor time [ms]."""
    wall, processor = zip(*taken, strict=True)
    figures[f"{name} [ms]"] = statistics.median(wall)
    if len(wall) > 1:
        figures[f"{name}, 95 % [ms]"] = float(np.percentile(wall, 95))
    figures[f"{name}, processor [ms]"] = statistics.median(processor)


def _times(function: Callable[[int], object], count: int) -> list[tuple[float, float]]:
    """Milliseconds of wall and of processor time of each call."""
    taken = []
    for number in range(count):
        started = time.perf_counter(), time.process_time()
        function(number)
        ended = time.perf_counter(), time.process_time()
        taken.append(((ended[0] - started[0]) * 1e3, (ended[1] - started[1]) * 1e3))
    return taken


def _exact(path: Path, queries: np.ndarray, k: int, count: int) -> np.ndarray:
    """Ids of the keyframes most similar to queries (Q, G) among the first `count`: (Q, k)."""
    from mast3r_ros.keyframes.store import Store

    ids, scores = np.zeros((len(queries), 0), np.int64), np.zeros((len(queries), 0), np.float32)
    with closing(Store(path)) as store:
        for entries in store.entries():
            first = entries.ids < count
            scores = np.hstack([scores, queries @ entries.descriptors[first].T])
            ids = np.hstack([ids, np.tile(entries.ids[first], (len(queries), 1))])
            best = np.argsort(-scores, axis=1)[:, :k]
            scores = np.take_along_axis(scores, best, 1)
            ids = np.take_along_axis(ids, best, 1)
    return ids


def _anonymous() -> float:
    """Anonymous memory of this process [MB]."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1e3
    return float("nan")


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), int(sys.argv[2]))))
