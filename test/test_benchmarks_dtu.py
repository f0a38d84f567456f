# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of surfaces: clouds, their scores by hand, and runs that are killed."""

import json
import struct

import numpy as np
import pytest
from benchmark_layouts import write_dtu
from synthetic import ROOM, camera_pose, make_camera, view
from typer.testing import CliRunner

from mast3r_ros.cli import app as cli
from mast3r_ros.datasets import dtu
from mast3r_ros.datasets.ply import ply_bytes, read_points
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.evaluation.benchmarks import runner
from mast3r_ros.evaluation.benchmarks.answer import Solver
from mast3r_ros.evaluation.benchmarks.base import BenchmarkError
from mast3r_ros.evaluation.benchmarks.dtu import Dtu
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.evaluation.benchmarks.surfaces import SurfaceScore, judged, surface_score
from mast3r_ros.frontends.base import Description
from mast3r_ros.geometry import transforms
from mast3r_ros.matching.correspondences import Correspondences

POSES = [camera_pose(x=0.25 * i - 0.5, y=0.05 * i, turn=-0.1 * i + 0.2) for i in range(5)]
CAMERA = make_camera()
# A grid that no two points of are seen at one pixel.
WORLD = np.stack(np.meshgrid(np.linspace(-0.6, 0.6, 25), np.linspace(-0.4, 0.4, 17), [2.5]), -1)
WORLD = WORLD.reshape(-1, 3) + [0.0, 0.0, 0.1] * np.arange(WORLD.size // 3)[:, None] / 425


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two scans with a truth, one without; the folder of another is not one of the test scans."""
    root = tmp_path_factory.mktemp("dtu")
    frames = [(view(pose, ROOM, depth=False), pose) for pose in POSES]
    write_dtu(root, 1, frames, WORLD)
    write_dtu(root, 4, frames, WORLD + np.array([0.0, 0.0, 0.003]))
    write_dtu(root, 9, frames[:3], None)
    write_dtu(root, 2, frames[:3], None)
    return root


class Exact:
    """Sees `WORLD` in every image: descriptions count the images of a scan."""

    name, description_type, min_inliers, min_inlier_ratio, fingerprint = "exact", None, 1, 0.1, ""

    def __init__(self):
        self._count = 0

    def describe(self, frame):
        self._count += 1
        return Description(np.array([self._count - 1], np.float32))

    def pixel_error_scale(self, size):
        return 0.3

    def match(self, references, query, *, query_points=False):
        return [self._matches(*map(self._seen, (r, query))) for r in references]

    def _seen(self, description):
        pose = POSES[int(description.global_descriptor[0]) % 5]
        return CAMERA.project(transforms.apply(transforms.inverse(pose), WORLD))

    def _matches(self, there, here):
        count = len(WORLD)
        unknown = np.full((count, 3), np.nan, np.float32)
        sure = np.ones(count, np.float32)
        pixels = (there.astype(np.float32), here.astype(np.float32))
        return Correspondences(*pixels, sure, unknown, sure, metric=False)


def run(benchmark, solver):
    return [r for t in benchmark.tasks() for r in benchmark.answered(t, t.queries, solver)]


def test_true_matches_score_perfectly_and_a_truth_that_is_off_by_its_distance(data):
    benchmark = Dtu(data, BenchmarkOptions())
    one, four, nine = run(benchmark, Solver(Exact()))

    assert [r["query"] for r in (one, four, nine)] == ["scan1", "scan4", "scan9"]
    assert one["points"] >= 400
    for name in ("accuracy_mm", "completeness_mm", "overall_mm"):
        assert one[name] < 0.02
        assert four[name] == pytest.approx(3.0, abs=0.02)
        assert name not in nine
    figures = benchmark.summarize([one, four, nine])
    assert figures["scans"] == 3
    assert figures["overall_mm"] == pytest.approx((one["overall_mm"] + four["overall_mm"]) / 2)


def test_each_view_is_matched_with_all_others_or_with_its_best(data):
    asked = []

    class Noted(Exact):
        def match(self, references, query, *, query_points=False):
            numbers = [int(d.global_descriptor[0]) for d in (query, *references)]
            asked.append(numbers)
            return super().match(references, query)

    benchmark = Dtu(data, BenchmarkOptions())
    task = benchmark.tasks()[0]
    list(benchmark.answered(task, task.queries, Solver(Noted())))
    assert asked == [[i, *(j for j in range(5) if j != i)] for i in range(5)]
    asked.clear()
    few = Dtu(data, BenchmarkOptions(views=2))
    list(few.answered(task, task.queries, Solver(Noted())))
    assert asked == [[0, 1, 2], [1, 0, 2], [2, 0, 1], [3, 0, 1], [4, 0, 1]]


def _truth(points, observed=None):
    everywhere = np.ones((11, 11, 11), bool) if observed is None else observed
    return dtu.DtuTruth(
        np.asarray(points, float), everywhere, np.zeros(3), 10.0, np.array([0.0, 0.0, 1.0, -1.0])
    )


def test_scores_by_hand():
    # The truth under the table (z < 1) counts for accuracy alone; 25 mm away is an outlier.
    truth = _truth([[10, 10, 10], [20, 10, 10], [30, 10, 0]])
    found = np.array([[10, 10, 12], [20, 14, 10], [30, 10, 1], [60, 10, 10]], float)
    score = surface_score(found, truth)
    assert score.accuracy == pytest.approx((2 + 4 + 1) / 3)
    assert score.completeness == pytest.approx((2 + 4) / 2)
    assert score.overall == pytest.approx(8 / 3)
    assert surface_score(np.zeros((0, 3)), truth) == SurfaceScore(np.inf, np.inf)


def test_points_count_once_in_a_neighborhood_and_where_the_scanner_could_see():
    observed = np.ones((11, 11, 11), bool)
    observed[5] = False
    truth = _truth([[0, 0, 0]], observed)
    points = np.array([[0, 0, 0], [0.1, 0, 0], [54, 0, 0], [56, 0, 0], [104, 0, 0], [106, 0, 0]])
    kept = judged(points.astype(float), truth)
    # 54 mm lies in the voxel at 50 mm, which is not observed; the last voxel ends at 105 mm.
    assert sorted(kept[:, 0].round(0)) == [0, 56, 104]


def test_the_reader_gives_back_what_was_written(data):
    views = dtu.read_views(data / "scan1")
    assert [v.number for v in views] == [0, 1, 2, 3, 4]
    for found, pose in zip(views, POSES, strict=True):
        assert found.pose == pytest.approx(pose, abs=1e-6)
        assert found.frame.camera.matrix == pytest.approx(CAMERA.matrix)
    assert dtu.read_pairs(data / "scan1")[3] == [0, 1, 2, 4]
    truth = dtu.read_truth(data, 1)
    assert truth.points == pytest.approx(1000 * WORLD, abs=1e-3)
    assert dtu.read_truth(data, 9) is None


def test_damaged_files_are_named(data, tmp_path):
    frames = [(view(POSES[0], ROOM, depth=False), POSES[0])]
    write_dtu(tmp_path, 1, frames, WORLD)
    (tmp_path / "ObsMask/Plane1.mat").write_bytes(b"no matrix")
    with pytest.raises(RecordingError, match=r"Plane1\.mat is not a MATLAB file"):
        dtu.read_truth(tmp_path, 1)
    (tmp_path / "scan1/cams/00000000_cam.txt").write_text("extrinsic\n1 2 3\nintrinsic\n")
    with pytest.raises(RecordingError, match=r"00000000_cam\.txt holds no extrinsic"):
        dtu.read_views(tmp_path / "scan1")
    (tmp_path / "scan1/pair.txt").write_text("1\n0\n")
    with pytest.raises(RecordingError, match=r"pair\.txt"):
        dtu.read_pairs(tmp_path / "scan1")
    with pytest.raises(BenchmarkError, match=r"none of the test scans. Download"):
        Dtu(tmp_path / "ObsMask", BenchmarkOptions()).tasks()
    (record,) = run(Dtu(data, BenchmarkOptions()), Solver(None))[:1]
    assert "no surface" in record["error"]


def test_ply_files_of_all_forms_are_read(tmp_path):
    points = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, -6.5]], np.float32)
    head = "ply\nformat {} 1.0\ncomment made by hand\nelement vertex 2\nproperty uchar red\n"
    head += "property float x\nproperty double y\nproperty float z\nelement face 0\n"
    head += "property list uchar int vertex_indices\nend_header\n"
    # Bytes of points that a text would take for the ends of lines.
    odd = np.frombuffer(b"\r\n\r\n" * 6, "<f4").reshape(2, 3)
    (tmp_path / "odd").write_bytes(ply_bytes(odd, np.zeros((2, 3), np.uint8)))
    assert read_points(tmp_path / "odd") == pytest.approx(odd)
    big = b"".join(struct.pack(">Bfdf", 7, *map(float, p)) for p in points)
    files = {
        "own": ply_bytes(points, np.zeros((2, 3), np.uint8)),
        "big": head.format("binary_big_endian").encode() + big,
        "crlf": head.format("binary_big_endian").replace("\n", "\r\n").encode() + big,
        "text": head.format("ascii").encode() + b"7 1 2 3\n7 4 5 -6.5\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert read_points(tmp_path / name) == pytest.approx(points), name
    for broken in (files["own"][:-3], files["text"][:-4], b"no\n", head.format("odd").encode()):
        (tmp_path / "broken").write_bytes(broken)
        with pytest.raises(RecordingError, match="broken is no PLY file"):
            read_points(tmp_path / "broken")


def test_a_killed_run_has_its_clouds_and_resumes_to_the_same_summary(data, tmp_path):
    benchmark, asked = Dtu(data, BenchmarkOptions()), {"benchmark": "dtu", "options": {}}

    def answers(folder, stop=None):
        run_folder = runner.RunFolder(folder, asked)
        left = runner.remaining(benchmark.tasks(), run_folder.records)
        solver = Solver(Exact())
        records = (r for t in left for r in benchmark.answered(t, t.queries, solver))
        for count, record in enumerate(run_folder.append(records), 1):
            assert "files" not in record
            if count == stop:
                break
        done = run_folder.records
        return {q: {k: v for k, v in r.items() if k != "seconds"} for q, r in done.items()}

    whole = answers(tmp_path / "whole")
    answers(tmp_path / "stopped", stop=1)
    assert [p.name for p in (tmp_path / "stopped/clouds").iterdir()] == ["scan1.ply"]
    assert answers(tmp_path / "stopped") == whole
    for scan in ("scan1", "scan4", "scan9"):
        clouds = [tmp_path / run / f"clouds/{scan}.ply" for run in ("whole", "stopped")]
        assert clouds[0].read_bytes() == clouds[1].read_bytes()
        assert len(read_points(clouds[0])) == whole[scan]["points"]


def test_the_verb_reconstructs_a_rendered_scan(data, tmp_path):
    out = tmp_path / "run"
    command = ["benchmark", "dtu", "--data", str(data), "--front-end", "sift", "--limit", "1"]
    result = CliRunner().invoke(cli.app, [*command, "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    summary = json.loads((out / "summary.json").read_text())
    assert summary["figures"]["scans"] == 1
    assert summary["published"]["MASt3R (paper)"]["overall_mm"] == 0.374
    # Features lie on the room's panels.
    z = read_points(out / "clouds/scan1.ply")[:, 2]
    assert np.median(np.abs(z[:, None] - [3000, 2000, 1700, 2400]).min(1)) < 30
    assert len(z) > 100
