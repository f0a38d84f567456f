# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of visual localization, on small trees of their layouts."""

import numpy as np
import pytest
from benchmark_world import Oracle, disturbed
from localization_trees import (
    CUTOUTS,
    DATABASE,
    SCANS,
    aachen_of_recording,
    aachen_tree,
    aachen_truths,
    colmap_numbers,
    inloc_tree,
    inloc_truths,
    write_truths,
)

from mast3r_ros.datasets import inloc
from mast3r_ros.datasets.hloc import read_pairs, read_queries
from mast3r_ros.datasets.summary import RecordingError
from mast3r_ros.evaluation.benchmarks import aachen as aachen_module
from mast3r_ros.evaluation.benchmarks.aachen import Aachen
from mast3r_ros.evaluation.benchmarks.answer import NO_MOTION, Solver, make_solver
from mast3r_ros.evaluation.benchmarks.base import BenchmarkError
from mast3r_ros.evaluation.benchmarks.inloc import InLoc
from mast3r_ros.evaluation.benchmarks.options import BenchmarkOptions
from mast3r_ros.evaluation.benchmarks.references import References
from mast3r_ros.frontends import create
from mast3r_ros.frontends.base import FrontEndError
from mast3r_ros.geometry import transforms
from mast3r_ros.localization.options import RelocalizerOptions

pytest.importorskip("pycolmap")


def run(benchmark, solver):
    """All records, as a run writes them."""
    return [r for t in benchmark.tasks() for r in benchmark.answered(t, t.queries, solver)]


@pytest.fixture(scope="module")
def aachen(tmp_path_factory):
    return aachen_tree(tmp_path_factory.mktemp("aachen"))


@pytest.fixture(scope="module")
def indoors(tmp_path_factory):
    return inloc_tree(tmp_path_factory.mktemp("inloc"))


def options_of(folder, truths, pairs=None, **others):
    """Options with a file of true poses, and one of pairs: every image for every query."""
    poses = write_truths(folder / "poses.txt", truths)
    file = None
    if pairs is not None:
        file = folder / "pairs.txt"
        file.write_text("".join(f"{q} {n}\n" for q, names in pairs.items() for n in names))
    return BenchmarkOptions(query_poses=poses, pairs=file, **others)


AACHEN_QUERIES = ["query/day/day_0.png", "query/day/day_1.png", "query/night/night_0.png"]
AACHEN_PAIRS = {q: ["db/3.png", "db/1.png", "db/5.png"] for q in AACHEN_QUERIES}


def test_aachen_scores_true_and_disturbed_poses_as_by_hand(aachen, tmp_path):
    truths = aachen_truths()
    benchmark = Aachen(aachen, options_of(tmp_path, truths, AACHEN_PAIRS, retrieved=2))
    poses = list(truths.values())
    records = run(benchmark, Oracle(poses))
    assert [r["query"] for r in records] == AACHEN_QUERIES
    assert [r["retrieved"] for r in records] == [["db/3.png", "db/1.png"]] * 3
    perfect = benchmark.summarize(records)
    for group in ("day", "night"):
        for key in ("25cm_2deg", "50cm_5deg", "500cm_10deg"):
            assert perfect[f"{group} within_{key}"] == 1.0
        assert perfect[f"{group} translation_m"] == pytest.approx(0.0, abs=1e-6)

    # By day: 0.3 m off, and 3 degrees; at night no answer.
    off = [disturbed(poses[0], meters=0.3), disturbed(poses[1], degrees=3.0), None]
    found = benchmark.summarize(run(benchmark, Oracle(off)))
    assert found["estimated"] == pytest.approx(2 / 3)
    assert [found[f"day within_{k}"] for k in ("25cm_2deg", "50cm_5deg", "500cm_10deg")] == [
        0.0,
        1.0,
        1.0,
    ]
    assert found["day translation_m"] == pytest.approx(0.15, abs=1e-6)
    assert found["day rotation_deg"] == pytest.approx(1.5, abs=1e-4)
    assert found["night within_500cm_10deg"] == 0.0
    assert found["night translation_m"] == np.inf


def test_aachen_reads_the_model_its_queries_and_depth_around_points(aachen):
    benchmark = Aachen(aachen, BenchmarkOptions())
    assert benchmark.database() == [f"db/{i}.png" for i in range(1, 6)]
    frame, pose = benchmark.reference("db/2.png")
    assert pose == pytest.approx(DATABASE[1], abs=1e-9)
    assert (frame.camera.cx, frame.camera.fx) == (159.5, 300.0)
    from synthetic import view

    truth = view(DATABASE[1]).depth
    known = np.isfinite(frame.depth)
    assert 0.1 < known.mean() < 0.5
    # Around an edge, the depth of a point is not that of its surroundings.
    assert np.mean(np.abs(frame.depth - truth)[known] < 0.02 * truth[known]) > 0.9
    (query,) = (q for name, q in benchmark.queries().items() if name == "query/night/night_0.png")
    assert query.group == "night"
    assert query.load().camera.cy == 119.5


def test_of_two_points_of_a_model_the_nearer_pixel_gives_the_depth():
    seen = aachen_module.Observations(
        np.arange(2), np.array([[10.0, 5.0], [14.2, 5.0]]), np.array([1.0, 2.0]), np.zeros(2)
    )
    depth = aachen_module.sparse_depth(seen, (12, 30))
    assert (depth[5, 6], depth[5, 11], depth[5, 13], depth[5, 18]) == (1.0, 1.0, 2.0, 2.0)
    assert np.isnan([depth[5, 5], depth[5, 19], depth[0, 14], depth[9, 13]]).all()


@pytest.mark.parametrize("pairs", [AACHEN_PAIRS, None], ids=["pairs", "retrieved"])
def test_aachen_is_localized_by_sift_from_given_and_from_retrieved_images(aachen, tmp_path, pairs):
    benchmark = Aachen(aachen, options_of(tmp_path, aachen_truths(), pairs, retrieved=3))
    records = run(benchmark, Solver(create("sift")))
    figures = benchmark.summarize(records)
    assert figures["day within_25cm_2deg"] == figures["night within_25cm_2deg"] == 1.0
    assert all(len(r["retrieved"]) == 3 for r in records)
    assert figures["day translation_m"] < 0.05


def test_real_images_in_the_layout_of_aachen_are_localized(office, tmp_path):
    truths = aachen_of_recording(office, tmp_path / "tree", every=10, queries=3)
    poses = write_truths(tmp_path / "poses.txt", truths)
    options = BenchmarkOptions(query_poses=poses, retrieved=2)
    records = run(Aachen(tmp_path / "tree", options), Solver(create("sift")))
    assert all(r["translation_m"] < 0.05 and r["rotation_deg"] < 1.0 for r in records), records


def test_visual_words_need_a_front_end_with_local_features(aachen):
    class Whole:
        name = "whole"

    benchmark = Aachen(aachen, BenchmarkOptions())
    assert benchmark.about()["retrieval"] == "auto"
    References(["db/1.png"], benchmark.reference, Whole(), "auto")
    with pytest.raises(FrontEndError, match="front end 'whole' has no local features"):
        References(["db/1.png"], benchmark.reference, Whole(), "asmk")


def test_an_image_is_retrieved_by_its_words_and_by_its_looks(aachen):
    benchmark = Aachen(aachen, BenchmarkOptions())
    names, sift = benchmark.database()[:3], create("sift")
    for retrieval in ("asmk", "global"):
        references = References(names, benchmark.reference, sift, retrieval)
        for name in names:
            assert references.retrieve(benchmark.reference(name)[0], 2)[0] == name


def test_a_submission_has_the_format_of_the_server(aachen, tmp_path):
    truths = aachen_truths()
    benchmark = Aachen(aachen, options_of(tmp_path, truths, AACHEN_PAIRS))
    poses = list(truths.values())
    records = run(benchmark, Oracle([poses[0], None, poses[2]]))
    submission, pairs = benchmark.submit(records, tmp_path)
    found = submission.read_text().splitlines()
    # One line a query that has a pose: the file's name alone, then camera <- world.
    assert [line.split()[0] for line in found] == ["day_0.png", "night_0.png"]
    for line, pose in zip(found, (poses[0], poses[2]), strict=True):
        numbers = np.array(line.split()[1:], float)
        expected = np.array(colmap_numbers(pose).split(), float)
        assert len(numbers) == 7
        assert numbers == pytest.approx(expected, abs=1e-6)
    assert read_pairs(pairs) == AACHEN_PAIRS


def test_without_true_poses_there_is_a_submission_alone(aachen, tmp_path):
    benchmark = Aachen(aachen, options_of(tmp_path, aachen_truths(), AACHEN_PAIRS))
    hidden = Aachen(aachen, BenchmarkOptions(pairs=tmp_path / "pairs.txt"))
    records = run(hidden, Oracle(list(aachen_truths().values())))
    assert hidden.summarize(records) == {"queries": 3, "estimated": 1.0, "accepted": 1.0}
    assert benchmark.about()["retrieved"] == 20
    assert hidden.about()["query_poses"] is None


def test_the_published_row_is_that_of_as_many_images(aachen, indoors):
    rows = {
        count: {
            p.name: p.figures for p in Aachen(aachen, BenchmarkOptions(retrieved=count)).published()
        }
        for count in (1, 20, 40)
    }
    assert rows[20]["MASt3R (paper)"]["night within_50cm_5deg"] == pytest.approx(0.916)
    assert rows[1]["MASt3R (paper)"]["day within_25cm_2deg"] == pytest.approx(0.796)
    assert list(rows[40]) == ["hloc (SuperPoint, LightGlue)"]
    (ours, _) = InLoc(indoors, BenchmarkOptions()).published()
    assert ours.figures["DUC2 within_100cm_10deg"] == pytest.approx(0.893)


def test_the_guess_stands_where_the_best_image_was_taken(aachen, tmp_path):
    options = options_of(tmp_path, aachen_truths(), AACHEN_PAIRS)
    records = run(Aachen(aachen, options), make_solver(NO_MOTION, RelocalizerOptions()))
    # From db/3.png, which is 0.0 m, to the first query.
    expected = transforms.distance(DATABASE[2], aachen_truths()["day_0.png"])
    assert records[0]["translation_m"] == pytest.approx(expected, abs=1e-6)
    alone = run(Aachen(aachen, BenchmarkOptions()), make_solver(NO_MOTION, RelocalizerOptions()))
    assert "give --pairs" in alone[0]["error"]


def test_files_of_other_data_are_told(aachen, tmp_path):
    pairs, poses = tmp_path / "pairs.txt", tmp_path / "poses.txt"
    pairs.write_text("elsewhere.jpg db/1.png\n")
    poses.write_text("elsewhere.jpg 1 0 0 0 0 0 0\n")
    for options, words in (
        (BenchmarkOptions(pairs=pairs), "pairs.txt names none of the queries"),
        (BenchmarkOptions(query_poses=poses), "poses.txt names none of the queries"),
    ):
        with pytest.raises(BenchmarkError, match=words):
            Aachen(aachen, options).tasks()
    pairs.write_text(f"{AACHEN_QUERIES[0]} db/99.png\n")
    records = run(Aachen(aachen, BenchmarkOptions(pairs=pairs)), Solver(create("sift")))
    assert "the database holds no image db/99.png" in records[0]["error"]
    assert "names no image for query/day/day_1.png" in records[1]["error"]


def test_lists_name_the_line_that_is_wrong(tmp_path):
    file = tmp_path / "list.txt"
    for read, content, words in (
        (read_pairs, "a b\na\n", "line 2: 1 words, expected `query image`"),
        (read_pairs, "", "holds no lines"),
        (read_queries, "a.jpg PINHOLE 640\n", "line 1: 3 words"),
        (read_queries, "a.jpg PINHOLE 640 480 x 1 1 1\n", "line 1: could not convert"),
    ):
        file.write_text(content)
        with pytest.raises(RecordingError, match=words):
            read(file)


def test_an_image_that_is_listed_twice_is_matched_once(tmp_path):
    file = tmp_path / "pairs.txt"
    file.write_text("a x\na y\na x\nb x\n")
    assert read_pairs(file) == {"a": ["x", "y"], "b": ["x"]}


def test_only_mast3r_matches_coarse_to_fine_or_by_points():
    with pytest.raises(FrontEndError, match="'sift' does not match coarse to fine"):
        make_solver("sift", RelocalizerOptions(), BenchmarkOptions(coarse_to_fine=True))
    with pytest.raises(FrontEndError, match="'sift' does not match by points"):
        make_solver("sift", RelocalizerOptions(), BenchmarkOptions(match_by="points"))


INLOC_PAIRS = {
    f"query/iphone7/IMG_{scan[-3:]}{i}.JPG": [
        f"database/cutouts/{scan}/DUC_cutout_{scan[-3:]}_{k}_0.jpg" for k in (1, 0, 2)
    ]
    for scan, count in (("DUC1/024", 2), ("DUC2/101", 1))
    for i in range(count)
}


def test_inloc_finds_the_cameras_of_cutouts_from_their_points(indoors):
    assert len(inloc.cutout_names(indoors)) == 6
    for scan, building_scan in SCANS.items():
        for i, pose in enumerate(CUTOUTS):
            name = f"database/cutouts/{scan}/DUC_cutout_{scan[-3:]}_{i}_0.jpg"
            frame, found = inloc.read_cutout(indoors, name)
            assert found == pytest.approx(building_scan @ pose, abs=1e-5)
            assert np.isnan(frame.depth[:3, :5]).all()
            assert np.isfinite(frame.depth[3:]).all()


def test_inloc_scores_true_and_disturbed_poses_by_building(indoors, tmp_path):
    truths = inloc_truths()
    benchmark = InLoc(indoors, options_of(tmp_path, truths, INLOC_PAIRS))
    poses = list(truths.values())
    perfect = benchmark.summarize(run(benchmark, Oracle(poses)))
    assert perfect["DUC1 within_25cm_10deg"] == perfect["DUC2 within_25cm_10deg"] == 1.0
    off = [disturbed(poses[0], meters=0.4), disturbed(poses[1], degrees=11.0), poses[2]]
    records = run(benchmark, Oracle(off))
    (submission, _) = benchmark.submit(records, tmp_path)
    for line, name, pose in zip(submission.read_text().splitlines(), truths, off, strict=True):
        basename, *numbers = line.split()
        assert basename == name.split("/")[1]
        expected = np.array(colmap_numbers(pose).split(), float)
        assert np.array(numbers, float) == pytest.approx(expected, abs=1e-6)
    found = benchmark.summarize(records)
    keys = [f"DUC1 within_{cm}cm_10deg" for cm in (25, 50, 100)]
    assert [found[key] for key in keys] == [0.0, 0.5, 0.5]
    assert found["DUC2 within_25cm_10deg"] == 1.0


def test_inloc_without_buildings_in_the_true_poses_has_one_table(indoors, tmp_path):
    truths = {name.split("/")[1]: pose for name, pose in inloc_truths().items()}
    benchmark = InLoc(indoors, options_of(tmp_path, truths, INLOC_PAIRS))
    figures = benchmark.summarize(run(benchmark, Oracle(list(truths.values()))))
    assert figures["within_25cm_10deg"] == 1.0


def test_inloc_is_localized_by_sift(indoors, tmp_path):
    benchmark = InLoc(indoors, options_of(tmp_path, inloc_truths(), retrieved=3))
    figures = benchmark.summarize(run(benchmark, Solver(create("sift"))))
    assert figures["DUC1 within_25cm_10deg"] == figures["DUC2 within_25cm_10deg"] == 1.0


def test_damaged_cutouts_are_named(indoors, tmp_path):
    folder = inloc_tree(tmp_path)
    name = "database/cutouts/DUC1/024/DUC_cutout_024_0_0.jpg"
    aligned = folder / "database/alignments/DUC1/transformations/DUC_trans_024.txt"
    aligned.write_text("\n".join(aligned.read_text().splitlines()[:6]))
    with pytest.raises(RecordingError, match="no matrix in lines 8 to 11"):
        inloc.read_cutout(folder, name)
    from scipy.io import savemat

    turned = np.random.default_rng(0).normal(size=(240, 320, 3))
    for content, words in (
        ({"XYZcut": turned}, "not what a camera of 60 degrees sees"),
        ({"XYZcut": turned[:100]}, "the image is 320x240"),
        ({"RGBcut": turned}, "holds no XYZcut"),
    ):
        savemat(folder / f"{name}.mat", content)
        with pytest.raises(RecordingError, match=words):
            inloc.read_cutout(folder, name)
    (folder / f"{name}.mat").write_bytes(b"no matrix")
    with pytest.raises(RecordingError, match="not a MATLAB file"):
        inloc.read_cutout(folder, name)
    (folder / f"{name}.mat").unlink()
    with pytest.raises(RecordingError, match="cannot read"):
        inloc.read_cutout(folder, name)
