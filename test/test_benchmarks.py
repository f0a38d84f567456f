# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks on small trees of their layouts: known poses in, known scores out."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from benchmark_world import (
    POSES,
    Oracle,
    co3d_tree,
    disturbed,
    mapfree_tree,
    posed,
    re10k_tree,
    relative,
    seven_scenes_tree,
)
from evaluation_world import write_tum
from localization_trees import (
    aachen_tree,
    aachen_truths,
    inloc_tree,
    inloc_truths,
    write_truths,
)

from mast3r_ros.common.size import ImageSize
from mast3r_ros.datasets.co3d import camera_of
from mast3r_ros.datasets.image_poses import read_poses
from mast3r_ros.datasets.options import PairOptions
from mast3r_ros.datasets.registry import open_dataset
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.evaluation.benchmarks import runner
from mast3r_ros.evaluation.benchmarks.aachen import Aachen
from mast3r_ros.evaluation.benchmarks.ablations import Ablations
from mast3r_ros.evaluation.benchmarks.answer import Solver
from mast3r_ros.evaluation.benchmarks.base import BenchmarkError
from mast3r_ros.evaluation.benchmarks.dtu import Dtu
from mast3r_ros.evaluation.benchmarks.fast_matching import (
    MODES,
    STRIDES,
    FastMatching,
    basin_sizes,
)
from mast3r_ros.evaluation.benchmarks.inloc import InLoc
from mast3r_ros.evaluation.benchmarks.mapfree import MapFree
from mast3r_ros.evaluation.benchmarks.matched_pairs import MatchedPairs, way_of
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.evaluation.benchmarks.recall import SevenScenes, TumRooms
from mast3r_ros.evaluation.benchmarks.registry import BENCHMARKS
from mast3r_ros.evaluation.benchmarks.relative import Co3d, RealEstate
from mast3r_ros.frontends import create
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.overlap import reproject
from mast3r_ros.localization.options import RelocalizerOptions


def run(benchmark, solver):
    """All records, as a run writes them."""
    return [r for t in benchmark.tasks() for r in benchmark.answered(t, t.queries, solver)]


def tum_tree(folder):
    write_tum(folder / "wall")
    return folder


@pytest.fixture(scope="module")
def mapfree(tmp_path_factory):
    return mapfree_tree(tmp_path_factory.mktemp("mapfree"))


@pytest.fixture(scope="module")
def re10k(tmp_path_factory):
    return re10k_tree(tmp_path_factory.mktemp("re10k"))


@pytest.fixture(scope="module")
def seven(tmp_path_factory):
    return seven_scenes_tree(tmp_path_factory.mktemp("7scenes"))


# Map-free: frames 5 and 10 of each scene are queries of the single-frame track.
TRUTHS = [relative(0, 1), relative(0, 3)] * 2


def test_mapfree_scores_true_poses_with_one(mapfree):
    benchmark = MapFree(mapfree, BenchmarkOptions())
    records = run(benchmark, Oracle(TRUTHS))
    figures = benchmark.summarize(records)
    assert [r["query"] for r in records] == [
        f"{scene}/seq1/frame_{n:05d}.jpg" for scene in ("s00460", "s00461") for n in (5, 10)
    ]
    for name in ("vcre_auc", "vcre_precision", "pose_auc", "pose_precision", "estimated"):
        assert figures[name] == pytest.approx(1.0)
    for name in ("vcre_px", "translation_m", "rotation_deg"):
        assert figures[name] == pytest.approx(0.0, abs=1e-4)


def test_mapfree_scores_disturbed_poses_as_by_hand(mapfree):
    benchmark = MapFree(mapfree, BenchmarkOptions())
    estimates = [
        disturbed(TRUTHS[0], meters=0.1),
        disturbed(TRUTHS[1], meters=0.5),
        disturbed(TRUTHS[2], degrees=4.0),
        None,
    ]
    figures = benchmark.summarize(run(benchmark, Oracle(estimates, [1.9, 1.8, 0.5, 0.0])))
    assert figures["estimated"] == 0.75
    # Medians by scene are 0.3 and 0 m, 0 and 4 degrees.
    assert figures["translation_m"] == pytest.approx(0.15, abs=1e-6)
    assert figures["rotation_deg"] == pytest.approx(2.0, abs=1e-4)
    assert figures["pose_precision"] == pytest.approx(2 / 3)
    # Precision 1, 1/2, 2/3 as a quarter of the queries after the other is accepted.
    assert figures["pose_auc"] == pytest.approx((1 + 1 / 2 + 2 / 3) / 4)


def test_a_submission_of_mapfree_has_the_stated_format(mapfree, tmp_path):
    benchmark = MapFree(mapfree, BenchmarkOptions())
    records = run(benchmark, Oracle([*TRUTHS[:3], None], [1.25, 0.5, 1.0, 0.0]))
    (file,) = benchmark.submit(records, tmp_path)
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == ["pose_s00460.txt", "pose_s00461.txt"]
        texts = [archive.read(name).decode() for name in archive.namelist()]
    # The line of poses.txt itself, and the confidence.
    truth = (mapfree / "val/s00460/poses.txt").read_text().splitlines()
    for line, path, confidence in zip(
        texts[0].splitlines(),
        ("seq1/frame_00005.jpg", "seq1/frame_00010.jpg"),
        (1.25, 0.5),
        strict=True,
    ):
        name, *numbers, said = line.split()
        expected = next(t.split() for t in truth if t.startswith(path))
        assert name == path
        assert np.array(numbers, float) == pytest.approx(np.array(expected[1:], float), abs=1e-6)
        assert float(said) == confidence
    # What was refused is left out.
    assert [line.split()[0] for line in texts[1].splitlines()] == ["seq1/frame_00005.jpg"]


def test_the_multi_frame_track_ties_the_frames_before_by_the_devices_tracking(tmp_path):
    folder = mapfree_tree(tmp_path, queries=(2, 8, 9))
    benchmark = MapFree(folder, BenchmarkOptions(track="multi"))
    (task, _) = benchmark.tasks()
    assert task.queries == ("s00460/seq1/frame_00009.jpg",)
    oracle = Oracle([relative(0, 3)])
    list(benchmark.answered(task, task.queries, oracle))
    (views,) = oracle.queries
    # Frame 9, then 8 and 2, which are among the eight numbers before it.
    assert np.allclose(
        [v.T_now_then for v in views], [np.eye(4), relative(3, 2), relative(3, 1)], atol=1e-6
    )
    assert views[0].motion_covariance is None
    assert (np.diag(views[2].motion_covariance) > 0).all()


def test_the_multi_frame_track_names_the_tracking_that_it_lacks(tmp_path):
    folder = mapfree_tree(tmp_path, queries=(8, 9), tracked=False)
    benchmark = MapFree(folder, BenchmarkOptions(track="multi"))
    records = run(benchmark, Oracle([np.eye(4)] * 2))
    assert all("poses_device.txt has no pose" in r["error"] for r in records)
    assert benchmark.summarize(records)["estimated"] == 0.0


def test_hidden_poses_give_a_submission_without_scores(tmp_path):
    folder = mapfree_tree(tmp_path, "test")
    for file in folder.glob("test/*/poses.txt"):
        lines = [line.split()[0] + " 0 0 0 0 0 0 0" for line in file.read_text().splitlines()]
        file.write_text("\n".join(lines))
        assert read_poses(file) == {}
    benchmark = MapFree(folder, BenchmarkOptions(split="test"))
    figures = benchmark.summarize(run(benchmark, Oracle(TRUTHS)))
    assert figures == {"queries": 4, "estimated": 1.0}


@pytest.mark.parametrize("make", [re10k_tree, co3d_tree])
def test_readers_of_relative_pose_give_back_what_was_written(tmp_path, make, monkeypatch):
    monkeypatch.setattr("mast3r_ros.evaluation.benchmarks.relative._MIN_LENGTH", 2)
    kind = {re10k_tree: RealEstate, co3d_tree: Co3d}[make]
    benchmark = kind(make(tmp_path), BenchmarkOptions(split="test"))
    first = benchmark.sets()[0]
    for i, image in enumerate(first.images):
        frame, (expected, _) = image.load(False), posed([i])[0]
        assert image.true_pose == pytest.approx(POSES[i], abs=1e-6)
        assert frame.camera.matrix == pytest.approx(expected.camera.matrix, abs=1e-4)
        assert abs(frame.image.astype(int) - expected.image).mean() < 12.0  # JPEG


def test_co3d_viewpoints_follow_pytorch3d():
    # x_camera = x_world R + T, x to the left, y up: a point ahead, to the left and up.
    viewpoint = {
        "R": np.eye(3).tolist(), "T": [0.0, 0.0, 2.0], "focal_length": [2.0, 2.0],
        "principal_point": [0.1, -0.2], "intrinsics_format": "ndc_isotropic",
    }  # fmt: skip
    camera, pose = camera_of(viewpoint, ImageSize(200, 100))
    point = transforms.apply(transforms.inverse(pose), np.array([[0.5, 0.25, 0.0]]))
    assert point == pytest.approx(np.array([[-0.5, -0.25, 2.0]]))
    # f = 100 px; the middle is (100, 50) from the corner, less (5, -10) of the principal point.
    assert (camera.fx, camera.cx, camera.cy) == pytest.approx((100.0, 94.5, 59.5))
    stretched = {**viewpoint, "intrinsics_format": "ndc_norm_image_bounds"}
    assert camera_of(stretched, ImageSize(200, 100))[0].fx == pytest.approx(200.0)
    with pytest.raises(ValueError, match="intrinsics_format 'pixels'"):
        camera_of({**viewpoint, "intrinsics_format": "pixels"}, ImageSize(200, 100))


def test_relative_pose_takes_all_pairs_of_each_clip_the_same_at_every_run(re10k):
    options = BenchmarkOptions(split="test", images=3)
    first, again = (RealEstate(re10k, options).tasks() for _ in range(2))
    other = RealEstate(re10k, BenchmarkOptions(split="test", images=3, seed=7)).tasks()
    assert first == again
    assert [len(task.queries) for task in first] == [3, 3]
    assert [t.queries for t in first] != [t.queries for t in other]


def test_relative_pose_scores_truth_and_error_by_hand(re10k):
    options = BenchmarkOptions(split="test", known_intrinsics=True)
    benchmark = RealEstate(re10k, options)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    truths = [relative(i, j) for i, j in pairs] + [
        relative(i, j) for i, j in ((6, 3), (6, 0), (3, 0))
    ]
    perfect = benchmark.summarize(run(benchmark, Oracle(truths)))
    assert (perfect["RRA@15"], perfect["RTA@15"], perfect["mAA30"]) == (1.0, 1.0, 1.0)
    turned = [disturbed(t, degrees=20.5) for t in truths[:3]]
    rest = [None, *truths[4:]]
    found = benchmark.summarize(run(benchmark, Oracle([*turned, *rest])))
    assert found["RRA@15"] == pytest.approx(5 / 9)
    assert found["mAA30"] == pytest.approx((3 * 10 / 30 + 5) / 9)
    assert found["estimated"] == pytest.approx(8 / 9)


def test_unknown_intrinsics_are_the_front_ends_to_find_or_guessed(re10k):
    frame = posed([0])[0][0]
    assert Solver(create("sift")).without_intrinsics(frame).camera.fx == 1.2 * 320

    class FindsIntrinsics:
        needs_camera = False

        def estimate_camera(self, description, size):
            """Never asked here."""

    assert Solver(FindsIntrinsics()).without_intrinsics(frame).camera is None


def test_co3d_needs_fifty_images_and_averages_categories(tmp_path):
    folder = co3d_tree(tmp_path, length=3)
    with pytest.raises(BenchmarkError, match="no sequence of two images"):
        Co3d(folder, BenchmarkOptions(split="test")).tasks()
    with pytest.raises(RecordingError, match="no val"):
        Co3d(folder, BenchmarkOptions(split="val")).tasks()
    figures = Co3d(folder, BenchmarkOptions(split="test")).summarize(
        [
            {"category": "apple", "rotation_deg": 1.5, "direction_deg": 1.5},
            {"category": "apple", "rotation_deg": 1.5, "direction_deg": 1.5},
            {"category": "bench", "rotation_deg": 90.0, "direction_deg": 1.0},
        ]
    )
    assert figures["RRA@15"] == 0.5
    assert figures["mAA30"] == pytest.approx(29 / 30 / 2)
    assert figures["mAA30 bench"] == 0.0


def test_co3d_scores_true_and_disturbed_poses_by_category(tmp_path, monkeypatch):
    monkeypatch.setattr("mast3r_ros.evaluation.benchmarks.relative._MIN_LENGTH", 2)
    benchmark = Co3d(co3d_tree(tmp_path), BenchmarkOptions(split="test"))
    pairs = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
    truths = [relative(i, j) for i, j in pairs]
    perfect = benchmark.summarize(run(benchmark, Oracle(truths)))
    assert (perfect["RRA@15"], perfect["RTA@15"], perfect["mAA30"]) == (1.0, 1.0, 1.0)
    off = [disturbed(truths[0], degrees=20.5), *truths[1:3], None, *truths[4:]]
    found = benchmark.summarize(run(benchmark, Oracle(off)))
    # One of three apples turned, one of three benches without an answer.
    assert found["RRA@15"] == pytest.approx(2 / 3)
    assert found["RTA@15"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["mAA30 apple"] == pytest.approx((10 / 30 + 2) / 3)
    assert found["mAA30 bench"] == pytest.approx(2 / 3)


def test_tum_scores_true_and_disturbed_poses(tmp_path):
    benchmark = TumRooms(tum_tree(tmp_path), BenchmarkOptions(every=3))
    _, queries = benchmark.images("wall")
    truths = [image.true_pose for image in queries]
    perfect = benchmark.summarize(run(benchmark, Oracle(truths)))
    assert perfect["within_5cm_5deg"] == 1.0
    assert (perfect["translation_m"], perfect["rotation_deg"]) == pytest.approx((0, 0), abs=1e-6)
    off = [disturbed(truths[0], meters=0.06), disturbed(truths[1], degrees=6.0), None, truths[3]]
    found = benchmark.summarize(run(benchmark, Oracle(off)))
    assert found["within_5cm_5deg"] == 0.25
    assert found["within_25cm_5deg"] == 0.5
    assert found["wrong_accepted"] == 0.25
    assert found["translation_m"] == pytest.approx(0.03, abs=1e-6)


def test_seven_scenes_reads_images_depth_and_poses(seven):
    benchmark = SevenScenes(seven, BenchmarkOptions(every=2))
    mapped, queries = benchmark.images("chess")
    assert [i.name for i in mapped] == ["seq-01/frame-000000", "seq-01/frame-000002"]
    assert [i.name for i in queries] == ["seq-02/frame-000000", "seq-02/frame-000001"]
    assert mapped[1].true_pose == pytest.approx(POSES[4], abs=1e-6)
    depth = mapped[0].load(True).depth
    assert np.nanmin(depth) > 1.0
    assert np.nanmax(depth) < 10.0
    truths = [POSES[1], disturbed(POSES[3], meters=0.2)]
    figures = benchmark.summarize(run(benchmark, Oracle(truths)))
    assert figures["within_5cm_5deg"] == 0.5
    assert figures["translation_m"] == pytest.approx(0.1, abs=1e-6)


def test_lost_poses_of_seven_scenes_are_left_out_and_broken_ones_named(seven, tmp_path):
    folder = shutil.copytree(seven, tmp_path / "seven")
    file = folder / "chess/seq-02/frame-000000.pose.txt"
    file.write_text("\n".join(["nan nan nan nan"] * 4))
    benchmark = SevenScenes(folder, BenchmarkOptions())
    assert len(benchmark.images("chess")[1]) == 1
    file.write_text("1 0 0 0\n0 2 0 0\n0 0 1 0\n0 0 0 1\n")
    with pytest.raises(RecordingError, match="not a rigid 4 x 4"):
        benchmark.images("chess")
    (folder / "chess/TestSplit.txt").write_text("seq2\n")
    with pytest.raises(RecordingError, match="'seq2' is not a sequence"):
        benchmark.images("chess")


def test_refused_poses_rank_below_accepted_ones(tmp_path):
    write_tum(tmp_path / "wall")
    benchmark = TumRooms(tmp_path, BenchmarkOptions(every=3))
    front_end = create("sift")
    accepted = run(benchmark, Solver(front_end))
    figures = benchmark.summarize(accepted)
    assert (figures["queries"], figures["wrong_accepted"], figures["within_5cm_5deg"]) == (4, 0, 1)
    assert all(r["accepted"] and r["rank"] > 1.0 for r in accepted)
    strict = RelocalizerOptions(max_position_sigma=0.001)
    refused = run(benchmark, Solver(front_end, strict))
    assert all(r["reason"] == "UNCERTAIN" and 0.0 < r["rank"] <= 1.0 for r in refused)
    assert benchmark.summarize(refused)["within_5cm_5deg"] == 1.0


def test_the_guess_says_that_nothing_moved(mapfree):
    benchmark = MapFree(mapfree, BenchmarkOptions())
    records = run(benchmark, Solver(None))
    assert records[0]["translation_m"] == pytest.approx(
        np.linalg.norm(relative(0, 1)[:3, 3]), abs=1e-5
    )


def test_a_damaged_image_counts_as_not_answered(tmp_path):
    folder = mapfree_tree(tmp_path)
    (folder / "val/s00460/seq1/frame_00005.jpg").write_bytes(b"no image")
    (folder / "val/s00461/seq0/frame_00000.jpg").unlink()
    benchmark = MapFree(folder, BenchmarkOptions())
    records = run(benchmark, Solver(create("sift")))
    assert ["error" in r for r in records] == [True, False, True, True]
    assert "frame_00005.jpg" in records[0]["error"]


@pytest.mark.parametrize("kind", BENCHMARKS.values())
def test_missing_data_says_what_to_download(kind, tmp_path):
    for folder in (tmp_path / "nowhere", tmp_path):
        if issubclass(kind, MatchedPairs) and folder.is_dir():
            continue  # any folder may hold a recording: told when it is opened
        with pytest.raises(BenchmarkError) as error:
            kind(folder, BenchmarkOptions()).tasks()
        assert kind.name in str(error.value)
        assert "Download" in str(error.value)


def test_basins_follow_the_walk_to_its_end():
    # 0 -> 1 -> 2 -> 2, 3 -> 2, 4 on its own, 5 never visited, 6 led to a pixel that ends there.
    step = np.array([1, 2, 2, 2, 4, -1, 5], np.int32)
    assert basin_sizes(step).tolist() == [0, 0, 4, 0, 1, 1, 0]


def test_exact_matches_give_an_exact_pose_and_moved_ones_the_pose_moved(tmp_path):
    pair = next(open_dataset(tum_tree(tmp_path) / "wall").pairs(PairOptions(1, 0.3)))
    pixels = np.random.default_rng(0).uniform([20, 20], [300, 220], (400, 2))

    def way(motion):
        """Of the matches that a motion makes."""
        query_reference = transforms.inverse(motion)
        reference, query = pair.reference, pair.query
        seen = reproject(pixels, reference.depth, reference.camera, query.camera, query_reference)
        known = np.isfinite(seen).all(1)
        return way_of(pair, pixels[known], seen[known], 0.002, 1.0)

    exact = way(pair.motion)
    assert exact["error_deg"] < 0.02
    assert exact["ms"] == 2.0
    turned = way(disturbed(pair.motion, degrees=2.0))  # by more than ten pixels
    assert turned["error_deg"] == pytest.approx(2.0, abs=0.05)
    assert (exact["within_5px"], turned["within_5px"]) == (1.0, 0.0)
    benchmark = Ablations(tmp_path, BenchmarkOptions())
    ways = [{"coarse": {**exact, "error_deg": e}} for e in (0.0, 2.0, 180.0)]
    figures = benchmark.summarize([{"ways": w} for w in ways])
    assert figures["coarse: AUC@5"] == pytest.approx((1 + 0.6 + 0) / 3)


def test_fast_matching_compares_equal_numbers_of_matches(tmp_path):
    folder = write_tum(tmp_path / "wall")
    benchmark = FastMatching(folder, BenchmarkOptions(count=1))
    (record,) = run(benchmark, Solver(create("mast3r")))
    ways = record["ways"]
    for stride in STRIDES:
        counts = {ways[f"{mode} {stride}"]["matches"] for mode in MODES}
        assert len(counts) == 1
    assert ways["fast 8"]["ms"] < ways["full"]["ms"] == ways["naive 8"]["ms"]
    assert ways["full"]["error_deg"] < 30.0
    figures = benchmark.summarize([record])
    assert figures["full: AUC@5"] == pytest.approx(max(0.0, 1 - ways["full"]["error_deg"] / 5))
    assert len(benchmark.plots([record])) == 2
    assert benchmark.plots([{"error": "unread"}]) == {}
    with pytest.raises(BenchmarkError, match="--front-end mast3r"):
        benchmark.prepare(benchmark.tasks()[0], Solver(create("sift")))


def test_ablations_match_windows_again_and_take_longer_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr("mast3r_ros.evaluation.benchmarks.ablations.WINDOWS", (1, 3))
    write_tum(tmp_path / "wall")
    benchmark = Ablations(tmp_path / "wall", BenchmarkOptions(count=1))
    (record,) = run(benchmark, Solver(create("mast3r", Mast3rOptions(checkpoint="nano"))))
    ways = record["ways"]
    assert list(ways) == ["coarse", "fine 1", "fine 3"]
    assert ways["coarse"]["ms"] < ways["fine 1"]["ms"] < ways["fine 3"]["ms"]
    assert len({way["error_deg"] for way in ways.values()}) == 3
    figures = benchmark.summarize([record])
    assert figures["coarse: AUC@5"] == pytest.approx(max(0, 1 - ways["coarse"]["error_deg"] / 5))
    assert list(benchmark.plots([record])) == ["accuracy over time"]


ASKED = {"benchmark": "mapfree", "limit": 0, "options": {"seed": 1}}


def answers(benchmark, folder, poses, stop=None):
    """A run, ended after some records."""
    run_folder = runner.RunFolder(folder, ASKED)
    tasks = benchmark.tasks()
    left = runner.remaining(tasks, run_folder.records)
    solver = Oracle(poses[len(run_folder.records) :])
    records = (r for t in left for r in benchmark.answered(t, t.queries, solver))
    for count, _ in enumerate(run_folder.append(records), 1):
        if count == stop:
            break
    return run_folder, tasks


def localization_options(folder, truths, queries, image):
    """Every query is matched with one image."""
    pairs = folder / "pairs.txt"
    pairs.write_text("".join(f"{query} {image}\n" for query in queries))
    return {"query_poses": write_truths(folder / "poses.txt", truths), "pairs": pairs}


EVERY_TREE = {
    MapFree: (mapfree_tree, lambda _: {}),
    RealEstate: (re10k_tree, lambda _: {"split": "test", "images": 3}),
    Co3d: (co3d_tree, lambda _: {"split": "test"}),
    SevenScenes: (seven_scenes_tree, lambda _: {}),
    TumRooms: (tum_tree, lambda _: {"every": 3}),
    FastMatching: (tum_tree, lambda _: {"count": 3}),
    Ablations: (tum_tree, lambda _: {"count": 3}),
    Aachen: (
        aachen_tree,
        lambda folder: localization_options(
            folder,
            aachen_truths(),
            [f"query/{name.split('_')[0]}/{name}" for name in aachen_truths()],
            "db/1.png",
        ),
    ),
    InLoc: (
        inloc_tree,
        lambda folder: localization_options(
            folder,
            inloc_truths(),
            [f"query/iphone7/{name.split('/')[1]}" for name in inloc_truths()],
            "database/cutouts/DUC1/024/DUC_cutout_024_0_0.jpg",
        ),
    ),
}


# The clouds of dtu have a test of their own.
@pytest.mark.parametrize(
    "kind", [k for k in BENCHMARKS.values() if k is not Dtu], ids=lambda k: k.name
)
def test_a_killed_run_resumes_to_the_same_summary(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("mast3r_ros.evaluation.benchmarks.relative._MIN_LENGTH", 2)
    monkeypatch.setattr(
        MatchedPairs, "prepare", lambda *_: lambda query: {"ways": {"full": way(query)}}
    )
    make, options = EVERY_TREE[kind]
    folder = make(tmp_path / "data")
    benchmark = kind(folder, BenchmarkOptions(**options(tmp_path)))
    queries = sum(len(task.queries) for task in benchmark.tasks())
    assert queries > 1
    poses = [disturbed(np.eye(4), meters=0.1 * i) if i != 1 else None for i in range(queries)]
    whole, tasks = answers(benchmark, tmp_path / "whole", poses)
    expected = runner.summary_of(benchmark, tasks, whole.records, ASKED)
    assert len(expected["figures"]) > 1
    for stop in {1, queries - 1}:
        stopped = tmp_path / f"stopped_{stop}"
        answers(benchmark, stopped, poses, stop)
        # Killed while it wrote the next line.
        with (stopped / "results.jsonl").open("a") as file:
            file.write('{"query": "s0046')
        resumed, _ = answers(benchmark, stopped, poses)
        assert runner.summary_of(benchmark, tasks, resumed.records, ASKED) == expected
        assert (stopped / "results.jsonl").read_bytes() == whole.results.read_bytes()


def way(query):
    """What fast matching says of a pair, without its clock."""
    return {"matches": 100, "ms": 1.0, "error_deg": float(query[-1]), "within_5px": 0.5}


def test_a_run_directory_belongs_to_one_run(mapfree, tmp_path):
    answers(MapFree(mapfree, BenchmarkOptions()), tmp_path, TRUTHS)
    with pytest.raises(BenchmarkError, match="holds a run with limit = 0, not 3"):
        runner.RunFolder(tmp_path, {**ASKED, "limit": 3})
    (tmp_path / "results.jsonl").write_text("no json\n")
    with pytest.raises(BenchmarkError, match="line 1 is damaged"):
        runner.RunFolder(tmp_path, ASKED)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(BenchmarkError, match=r"run\.json is damaged"):
        runner.RunFolder(tmp_path, ASKED)


def test_a_limit_takes_the_first_queries(mapfree):
    tasks = MapFree(mapfree, BenchmarkOptions()).tasks()
    assert [len(t.queries) for t in runner.limited(tasks, 3)] == [2, 1]
    assert runner.limited(tasks, 0) == list(tasks)


def test_figures_without_an_end_are_no_number_in_json(mapfree, seven):
    benchmark = SevenScenes(seven, BenchmarkOptions())
    records = run(benchmark, Oracle([None, None]))
    tasks = benchmark.tasks()
    summary = runner.summary_of(benchmark, tasks, {r["query"]: r for r in records}, ASKED)
    assert summary["figures"]["translation_m"] is None
    assert "Infinity" not in json.dumps(summary)
