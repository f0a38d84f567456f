# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The command line, verb by verb, on a small recording."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import fields

import cv2
import numpy as np
import pytest
import typer
from evaluation_world import CAMERA, POSES, pose_line, view, write_calibration, write_tum
from rosbags.highlevel import AnyReader
from typer.testing import CliRunner

from mast3r_ros.cli import app as cli
from mast3r_ros.cli.maps import DamagedMapError, open_map
from mast3r_ros.cli.options import with_options
from mast3r_ros.datasets import RecordingError
from mast3r_ros.demo.bag import write_bag
from mast3r_ros.demo.scenes import Scene
from mast3r_ros.evaluation.stress import PERTURBATIONS
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.database import MapError
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.network.checkpoint import load_checkpoint, save_checkpoint
from mast3r_ros.network.fetch import nano_checkpoint

KEYS = {
    "queries", "localized", "within_5cm_1deg", "within_10cm_2deg", "within_25cm_5deg",
    "wrong_accepted", "median_translation_m", "median_rotation_deg", "latency_ms",
}  # fmt: skip


def run(*arguments, code=0):
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def test_an_options_default_is_that_of_the_verb():
    app, given, patient = typer.Typer(), [], RelocalizerOptions(second_look=7.0)

    @app.command()
    @with_options()
    def verb(options: RelocalizerOptions = patient):
        given.append(options)

    for words in ([], ["--second-look", "2", "--min-cells", "9"]):
        assert CliRunner().invoke(app, words).exit_code == 0

    assert given == [patient, RelocalizerOptions(second_look=2.0, min_cells=9)]


def test_no_verb_ends_a_second_look_by_the_clock():
    """The node must answer in time; what a verb finds would depend on the machine's load."""
    defaults = {}

    def gather(command, name):
        for inner, each in getattr(command, "commands", {}).items():
            gather(each, f"{name} {inner}".strip())
        for parameter in command.params:
            if parameter.name == "second_look":
                defaults[name] = parameter.default

    gather(typer.main.get_command(cli.app), "")

    assert {"evaluate", "evaluate pairs", "evaluate drives", "localize"} <= set(defaults)
    assert set(defaults.values()) == {60.0}
    assert RelocalizerOptions().second_look == 1.0


def told(*arguments, code=0):
    """What a command says on standard error, as one line."""
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    return write_tum(tmp_path_factory.mktemp("walk") / "tum")


@pytest.fixture(scope="module")
def saved(walk, tmp_path_factory):
    """A map of every third image."""
    path = tmp_path_factory.mktemp("map") / "wall"
    printed = run("map", "build", walk, "--out", path, "--front-end", "sift", "--every", 3)
    assert printed == f"3 keyframes saved to {path}\n"
    return path


def test_help_needs_nothing_heavy():
    heavy = ("torch", "cv2", "faiss", "rclpy", "matplotlib")
    script = (
        "import sys\nfrom mast3r_ros.cli.app import main\nsys.argv = ['mast3r_ros', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert "evaluate" in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.no_cover
def test_evaluate_writes_its_figures_and_a_page(walk, tmp_path):
    figures, page = tmp_path / "figures.json", tmp_path / "page.html"
    output = ["--json", figures, "--report", page]

    printed = run("evaluate", walk, "--every", 3, "--front-end", "sift", *output)

    summary = json.loads(figures.read_text())
    assert printed == ""
    assert set(summary) >= KEYS
    assert summary["queries"] == 4
    assert summary["keyframes"] == 3
    assert summary["within_5cm_1deg"] == 1.0
    assert summary["wrong_accepted"] == 0
    assert set(summary["latency_ms"]) >= {"describe", "retrieve", "match", "solve", "total"}
    text = page.read_text()
    assert ">every 3, offset 0, with depth<" in text
    assert "Largest errors" in text
    assert text.count("<figure>") == 8
    assert summary["rows"] == [{key: summary[key] for key in summary["rows"][0]}]


def test_the_options_of_the_relocalizer_are_options(walk, tmp_path):
    page = tmp_path / "page.html"
    common = ["evaluate", walk, "--every", 3, "--offset", 1, "--front-end", "sift"]

    summary = json.loads(run(*common, "--min-inliers", 10_000, "--report", page))

    assert summary["localized"] == 0.0
    assert summary["median_translation_m"] is None
    assert summary["options"]["min_inliers"] == 10_000
    assert summary["keyframes"] == 2
    assert set(summary["options"]) == {field.name for field in fields(RelocalizerOptions)}
    assert "Refused" in page.read_text()


def test_an_option_out_of_its_limits_is_a_usage_error(walk):
    result = CliRunner().invoke(
        cli.app, ["evaluate", str(walk), "--every", "3", "--num-candidates", "0"]
    )

    assert result.exit_code == 2
    assert "num_candidates = 0" in result.stderr


@pytest.mark.no_cover
def test_without_depth_poses_are_metric_from_the_second_keyframe_on(walk):
    arguments = ["evaluate", walk, "--every", 3, "--front-end", "sift", "--no-depth"]

    summary = json.loads(run(*arguments))

    assert summary["depth"] is False
    assert summary["within_25cm_5deg"] > 0
    assert summary["wrong_accepted"] == 0


def test_map_info(saved):
    printed = run("map", "info", saved)

    assert "rootsift" in printed
    assert json.loads(run("map", "info", saved, "--json", "-")) == {
        "front_end": "sift",
        "fingerprint": open_map(saved).front_end.fingerprint,
        "keyframes": 3,
        "with_depth": 3,
        "extent_m": [0.36, 0.0, 0.0],
        "megabytes": pytest.approx(sum(f.stat().st_size for f in saved.rglob("*")) / 1e6, abs=0.1),
    }


def test_a_map_of_other_weights_is_opened_by_them(walk, tmp_path):
    network = load_checkpoint(nano_checkpoint())
    network.enc_norm.bias += 0.01
    weights, saved = tmp_path / "other.safetensors", tmp_path / "map"
    save_checkpoint(network, weights)
    by_them = ("--front-end", f"mast3r={weights}")
    run("map", "build", walk, "--out", saved, "--every", 3, *by_them)

    assert "mast3r-" in run("map", "info", saved, *by_them)
    image = walk / "rgb" / "2.000000.png"
    unchecked = ("--max-position-sigma", 9, "--min-inlier-ratio", 0.01)
    answer = json.loads(run("localize", saved, image, "--json", "-", *by_them, *unchecked))
    assert answer["localized"]
    with pytest.raises(MapError, match="build the map again"):
        run("map", "info", saved)


def test_localize_as_json(saved, walk):
    image = walk / "rgb" / "2.000000.png"

    answer = json.loads(run("localize", saved, image, "--json", "-"))

    assert answer["localized"] is True
    pose = transforms.from_quaternion(answer["position"], answer["orientation_xyzw"])
    assert transforms.distance(pose, POSES[4]) < 0.01
    assert transforms.rotation_angle(pose, POSES[4]) < 0.005
    assert len(answer["covariance"]) == 6
    assert "position" in run("localize", saved, image, "--camera", walk / "camera_info.yaml")


def test_localize_a_folder_without_poses(saved, walk, tmp_path, monkeypatch):
    """Paths are expanded wherever they are given: a shell leaves `--out=~/bag` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    images = tmp_path / "images"
    images.mkdir()
    names = sorted(path.name for path in (walk / "rgb").glob("*.png"))[1:3]
    for name in names:
        (images / name).write_bytes((walk / "rgb" / name).read_bytes())
    trajectory, bag = tmp_path / "poses.txt", tmp_path / "bag"

    words = ("--camera", walk / "camera_info.yaml", "--trajectory=~/poses.txt", "--out=~/bag")
    answers = json.loads(run("localize", saved, images, "--json", "-", *words))

    assert [answer["localized"] for answer in answers] == [True, True]
    lines = trajectory.read_text().splitlines()[1:]
    assert len(lines) == 2
    position = np.array(answers[0]["position"])
    assert np.allclose([float(value) for value in lines[0].split()[1:4]], position)
    with AnyReader([bag]) as reader:
        count = {topic: about.msgcount for topic, about in reader.topics.items()}
    assert count["/pose"] == count["/relocalizer/status"] == 2
    assert "images" in run("localize", saved, images, "--camera", walk / "camera_info.yaml")


def test_a_refused_image_is_exit_status_1(saved, walk):
    image = walk / "rgb" / "2.000000.png"

    sure = ["--max-position-sigma", 0.001]
    answer = json.loads(run("localize", saved, image, "--json", "-", *sure, code=1))

    assert answer["reason"] == "uncertain"
    assert answer["position"] is None


def test_a_map_of_images_and_poses(walk, tmp_path):
    poses, camera, path = tmp_path / "poses.txt", tmp_path / "camera.yaml", tmp_path / "map"
    write_calibration(camera)
    lines = [f"{i / 2:.6f}.png {pose_line(POSES[i])}" for i in (0, 2, 4)]
    poses.write_text("\n".join(lines))
    source = [
        "map",
        "build",
        walk / "rgb",
        "--out",
        path,
        "--front-end",
        "sift",
        "--pose-file",
        poses,
    ]

    assert run(*source, "--camera", camera) == f"3 keyframes saved to {path}\n"
    with pytest.raises(RecordingError, match="--camera"):
        CliRunner().invoke(cli.app, [str(a) for a in source], catch_exceptions=False)


@pytest.mark.no_cover
def test_a_bag_is_mapped_and_evaluated(tmp_path):
    scenes = [
        Scene(
            f"{i}",
            view(POSES[i], (i + 1) * 10**9),
            POSES[i],
            view(POSES[i + 1], (i + 9) * 10**9, with_depth=False),
            POSES[i + 1],
        )
        for i in (0, 2, 4)
    ]
    bag, path, figures = tmp_path / "bag", tmp_path / "map", tmp_path / "figures.json"
    write_bag(bag, scenes)
    topics = ["--image-topic", "/camera/image_raw", "--pose-topic", "/truth"]

    printed = run("map", "build", bag, "--out", path, "--front-end", "sift", *topics,
                  "--depth-topic", "/camera/depth/image_raw", "--every", 2)  # fmt: skip
    run("evaluate", bag, "--map", path, *topics, "--json", figures)

    assert printed == f"3 keyframes saved to {path}\n"
    summary = json.loads(figures.read_text())
    assert (summary["queries"], summary["within_5cm_1deg"]) == (6, 1.0)
    assert summary["front_end"] == "sift"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "nowhere", "--every", "2"], "nowhere does not exist"),
        (["map", "info", "nowhere"], "no map at nowhere"),
        (["map", "build", ".", "--out", "map"], "no images"),
        (["evaluate", "nowhere"], "--every N, or --map MAP"),
    ],
)
def test_errors_of_the_user_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mast3r_ros", *arguments])

    with pytest.raises(SystemExit, match="2"):
        cli.main()

    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), ValueError("a bug"), KeyError("a bug"), OSError(5, "a bug")]
)
def test_a_bug_shows_its_traceback(monkeypatch, error):
    def broken():
        raise error

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(type(error), match="a bug"):
        cli.main()


def test_a_file_that_the_system_refuses_is_one_line(monkeypatch, capsys):
    def broken():
        raise PermissionError(13, "Permission denied", "/map")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit, match="2"):
        cli.main()

    assert capsys.readouterr().err.strip() == "error: /map: Permission denied"


def _verbs(app=None, before=()):
    app = app or typer.main.get_command(cli.app)
    for name, verb in app.commands.items():
        words = (*before, *name.split())
        if hasattr(verb, "commands"):
            yield from _verbs(verb, words)
        else:
            yield words


@pytest.mark.parametrize("verb", sorted(_verbs()), ids=" ".join)
def test_help_keeps_its_table_at_80_columns(verb, monkeypatch):
    """Each option's name stands on one line with its text beside it; no word is cut."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    result = CliRunner().invoke(cli.app, [*verb, "-h"], catch_exceptions=False)

    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in result.stdout
    rows = [line for line in lines if re.match(r"│ [* ]{0,4}--", line)]
    assert len(rows) >= 1
    for row in rows:
        name, *rest = row.strip("│* ").split("  ", 1)
        assert re.fullmatch(r"--[a-z][a-z-]*[a-z]", name), row
        assert rest, row


def test_units_in_brackets_are_no_markup():
    assert "inlier [pixels]" in " ".join(run("localize", "-h").replace("│", " ").split())


def test_one_word_for_one_thing():
    """Options of all verbs: the same thing has one name, and files are written to --json PATH."""
    options = {
        words: {o for p in command.params for o in p.opts} for words, command in _commands().items()
    }
    everywhere = set().union(*options.values())
    assert not everywhere & {"--map-every", "--folder", "--weights", "--target", "--depth-units"}
    for words, names in options.items():
        if words[0] in ("evaluate", "localize", "map", "doctor", "demo"):
            assert "--json" in names, words


def _commands(app=None, before=()):
    app = app or typer.main.get_command(cli.app)
    found = {}
    for name, verb in app.commands.items():
        words = (*before, *name.split())
        found.update(_commands(verb, words) if hasattr(verb, "commands") else {words: verb})
    return found


def test_a_map_of_one_recording_and_queries_of_others(walk, saved, tmp_path):
    other = write_tum(tmp_path / "other")
    queries, poses, figures = (tmp_path / n for n in ("q.csv", "poses.txt", "f.json"))
    output = ["--queries", queries, "--trajectory", poses, "--json", figures]

    run("evaluate", walk, other, "--map-from", walk, "--every", 3, "--front-end", "sift",
        "--truth-sigma", 0.01, 0.5, *output)  # fmt: skip

    found = json.loads(figures.read_text())
    assert [(row["recording"], row["queries"]) for row in found["rows"]] == [
        (walk.name, 7),
        ("other", 7),
    ]
    assert "queries" not in found
    for row in found["rows"]:
        assert row["within_5cm_1deg"] == 1.0
        assert row["nees_with_truth_sigma"]["mean"] < row["nees"]["mean"]
    assert len(queries.read_text().splitlines()) == 1 + 14
    assert len((tmp_path / "poses_other_sift.txt").read_text().splitlines()) == 1 + 7

    alone = json.loads(run("evaluate", other, "--map", saved))
    assert (alone["queries"], alone["front_end"]) == (7, "sift")


@pytest.mark.slow
@pytest.mark.no_cover
def test_stress_has_a_row_for_each_disturbance(walk, tmp_path):
    figures = tmp_path / "f.json"

    run("evaluate", walk, "--every", 2, "--front-end", "sift", "--stress", "--json", figures)

    rows = {row["disturbance"]: row for row in json.loads(figures.read_text())["rows"]}
    assert list(rows) == [p.name for p in PERTURBATIONS]
    assert rows["none"]["within_5cm_1deg"] == 1.0
    assert (
        rows["focal length 2 % off"]["median_translation_m"]
        > (rows["none"]["median_translation_m"])
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--map", "m", "--every", "2"], "leave out --every"),
        (["--map", "m", "--map-from", "a"], "leave out"),
        (["--map-from", "a"], "--every N"),
        (["--map", "m", "--stress"], "--map-from"),
    ],
)
def test_arguments_that_do_not_fit_together(arguments, message):
    result = CliRunner().invoke(cli.app, ["evaluate", "walk", *arguments])

    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


def test_an_image_of_another_size_needs_its_camera(saved, tmp_path, monkeypatch, capsys):
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((10, 20, 3), np.uint8))
    arguments = ["localize", str(saved), str(tmp_path / "small.png")]
    monkeypatch.setattr(sys, "argv", ["mast3r_ros", *arguments])

    with pytest.raises(SystemExit):
        cli.main()

    assert "--camera" in capsys.readouterr().err


def test_a_map_is_saved_where_it_is_said_once(walk, tmp_path, monkeypatch):
    monkeypatch.setenv("MAPS", str(tmp_path))

    run("map", "build", walk, "$MAPS/one", "--front-end", "sift", "--every", 3)

    assert (tmp_path / "one/map.sqlite").is_file()
    assert json.loads(run("map", "info", "$MAPS/one", "--json", "-"))["keyframes"] > 0
    said = told("map", "build", walk, tmp_path / "two", "--front-end", "sift", "--every", 3)
    assert "3 of 7 images read" in said
    for where in ([], [tmp_path / "a", "--out", tmp_path / "b"]):
        run("map", "build", walk, *where, "--front-end", "sift", code=2)


def test_localize_needs_no_poses_and_strict_does_not_ask_for_them(saved, walk, tmp_path):
    folder = tmp_path / "images"
    shutil.copytree(walk / "rgb", folder)
    camera = ("--camera", walk / "camera_info.yaml", "--strict")

    printed = run("localize", saved, folder / "2.000000.png", *camera)
    assert "without pose" not in printed
    run("localize", saved, folder, *camera)

    (folder / "9.000000.png").write_bytes(b"torn")
    with pytest.raises(RecordingError, match=r"9\.000000\.png: refused: .*strict"):
        run("localize", saved, folder, *camera)


@pytest.mark.no_cover
def test_a_mask_is_read_with_the_images(walk, tmp_path):
    """All of the image is covered but a corner, in which too few features lie."""
    mask = np.zeros((CAMERA.height, CAMERA.width), np.uint8)
    mask[:20, :20] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    image = walk / "rgb" / "2.000000.png"

    figures = json.loads(
        run("evaluate", walk, "--every", 3, "--front-end", "sift", "--mask", tmp_path / "mask.png")
    )
    assert figures["localized"] == 0.0
    run("map", "build", walk, "--out", tmp_path / "map", "--front-end", "sift")
    run("localize", tmp_path / "map", image)
    run("localize", tmp_path / "map", image, "--mask", tmp_path / "mask.png", code=1)


def test_verify_names_a_damaged_keyframe(saved, tmp_path):
    path = shutil.copytree(saved, tmp_path / "wall")
    assert run("map", "info", path, "--verify", "--json", "-") == run(
        "map", "info", path, "--json", "-"
    )
    with closing(sqlite3.connect(path / "map.sqlite")) as database, database:
        ((content,),) = database.execute("SELECT arrays FROM contents WHERE id = 1")
        flipped = bytes([content[0] ^ 1]) + content[1:]
        database.execute("UPDATE contents SET arrays = ? WHERE id = 1", (flipped,))
    run("map", "info", path)
    with pytest.raises(DamagedMapError, match=r"1 keyframes are damaged; the first: .*keyframe 1"):
        run("map", "info", path, "--verify")
