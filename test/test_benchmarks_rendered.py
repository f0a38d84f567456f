# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered rooms in the layouts of benchmarks."""

import itertools

import numpy as np
import pytest
from benchmark_world import Oracle

from mast3r_ros.common.size import ImageSize
from mast3r_ros.datasets.mapfree import REFERENCE, read_scene
from mast3r_ros.evaluation.benchmarks import rendered
from mast3r_ros.evaluation.benchmarks.mapfree import MapFree
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.evaluation.benchmarks.relative import RealEstate
from mast3r_ros.geometry import transforms

pytest.importorskip("moderngl", reason="rooms are rendered by requirements/train.txt")


@pytest.fixture(scope="module", autouse=True)
def small():
    """Two small scenes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendered, "SCENES", 2)
        patch.setattr(rendered, "_SCENE_SIZE", ImageSize(160, 120))
        patch.setattr(rendered, "_CLIP_SIZE", ImageSize(160, 90))
        yield


MULTI = BenchmarkOptions(track="multi")


@pytest.fixture(scope="module")
def multi(tmp_path_factory):
    return rendered.render("mapfree", MULTI, tmp_path_factory.mktemp("rooms"))


def test_a_rendered_multi_frame_query_has_nine_images_tied_by_tracking_that_drifts(multi):
    benchmark = MapFree(multi, MULTI)
    tasks = benchmark.tasks()
    assert [t.queries for t in tasks] == [(f"s{n:05d}/seq1/frame_00009.jpg",) for n in range(2)]
    scene = read_scene(multi / "val/s00000")
    truth = scene.poses["seq1/frame_00009.jpg"]
    oracle = Oracle([truth])
    (record,) = benchmark.answered(tasks[0], tasks[0].queries, oracle)
    assert record["vcre_px"] == pytest.approx(0.0, abs=1e-3)
    (views,) = oracle.queries
    assert len(views) == 9
    steps = []
    for n, view in zip(range(9, 0, -1), views, strict=True):
        now_then = transforms.inverse(truth) @ scene.poses[f"seq1/frame_{n:05d}.jpg"]
        way = np.linalg.norm(now_then[:3, 3])
        error = transforms.distance(view.T_now_then, now_then)
        # A percent of the way, and a tenth of a degree a step about the far end.
        assert error < 0.05 * way + 1e-6
        steps.append(error)
    assert steps[0] == 0.0
    assert min(steps[1:]) > 0.0


def test_the_way_to_a_query_begins_elsewhere_and_ends_at_it(multi):
    scene = read_scene(multi / "val/s00001")
    poses = [scene.poses[path] for path in scene.numbers().values()]
    ways = [transforms.distance(a, b) for a, b in itertools.pairwise(poses)]
    assert min(ways) > 0.001
    assert max(ways) < 0.2
    # Straight: no way back.
    assert transforms.distance(poses[0], poses[-1]) == pytest.approx(sum(ways), rel=1e-6)
    images = [
        scene.frame(path).image.astype(int) for path in (REFERENCE, *scene.numbers().values())
    ]
    to_last = [np.abs(image - images[-1]).mean() for image in images]
    assert to_last[-2] < to_last[1] < to_last[0]


def test_both_tracks_ask_for_the_same_view(multi, tmp_path):
    single = rendered.render("mapfree", BenchmarkOptions(), tmp_path)
    assert single.name != multi.name
    for n in range(2):
        one, other = (read_scene(folder / f"val/s{n:05d}") for folder in (single, multi))
        query = one.poses["seq1/frame_00000.jpg"]
        assert query == pytest.approx(other.poses["seq1/frame_00009.jpg"], abs=1e-6)


def test_what_is_rendered_is_rendered_once(tmp_path):
    options = BenchmarkOptions(split="test")
    folder = rendered.render("re10k", options, tmp_path)
    (clip, _) = RealEstate(folder, options).sets()
    assert len(clip.images) == 2
    before = (folder / "test/00000/0.png").stat().st_mtime_ns
    assert rendered.render("re10k", options, tmp_path) == folder
    assert (folder / "test/00000/0.png").stat().st_mtime_ns == before
