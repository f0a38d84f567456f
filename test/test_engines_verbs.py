# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The network's verbs on the command line."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import tensorrt_fake
import typer
from click.testing import Result
from network_reference import TINY, random_network
from PIL import Image
from typer.testing import CliRunner

from mast3r_ros.cli import engines as verbs
from mast3r_ros.common.errors import UserError
from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines import building, parity
from mast3r_ros.engines.graphs import Graphs
from mast3r_ros.engines.tensorrt_engine import TensorRtEngine
from mast3r_ros.network import fetch
from mast3r_ros.network.checkpoint import save_checkpoint
from mast3r_ros.network.fetch import checkpoint_hash

pytestmark = pytest.mark.usefixtures("quick_export")
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("MAST3R_ROS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "nano_checkpoint", lambda: tmp_path / "nano.safetensors")
    app = typer.Typer()
    verbs.register(app)
    # What runs in a process of its own would not see the stand-ins.
    monkeypatch.setattr(building, "apart", lambda function, *arguments: function(*arguments))
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    config = replace(TINY, head="linear", encoder_depth=1, decoder_depth=1)
    save_checkpoint(random_network(config), path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (96, 128, 3)).astype(np.uint8)).save(path)
    return paths


def test_weights_are_fetched_once_the_terms_are_accepted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(repository: str, name: str, local_dir: Path) -> str:
        local_dir.mkdir(parents=True)
        (local_dir / name).touch()
        return str(local_dir / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    refused = run("fetch-checkpoint")
    assert isinstance(refused.exception, UserError)
    assert "no commercial use" in str(refused.exception)
    assert not (tmp_path / "cache").exists()
    accepted = run("fetch-checkpoint", "--accept-license")
    assert accepted.exit_code == 0
    assert "CC BY-NC-SA 4.0" in accepted.output
    assert accepted.output.strip().endswith("model.safetensors")


def test_export_without_weights_says_how_to_get_them(run: Run) -> None:
    result = run("export")
    assert isinstance(result.exception, UserError)
    assert "mast3r_ros fetch-checkpoint --accept-license" in str(result.exception)


def test_export_with_parity(
    run: Run, checkpoint: Path, pictures: list[Path], tmp_path: Path
) -> None:
    result = run(
        *("export", *pictures, "--checkpoint", checkpoint, "--out", tmp_path / "graphs"),
        *("--size", "64x48"),
    )
    assert result.exit_code == 0, result.output
    assert "parity of 64x48 with 64x48" in result.output
    assert "DRIFTED" not in result.output
    graphs = Graphs.load(tmp_path / "graphs")
    assert graphs.checkpoint == checkpoint_hash(checkpoint)
    assert graphs.sizes == (ImageSize(64, 48),)


def test_our_own_network_is_exported_at_the_sizes_of_its_cameras(
    run: Run, pictures: list[Path], tmp_path: Path
) -> None:
    small = replace(TINY, head="linear", encoder_depth=1, decoder_depth=1)
    config = replace(small, rays=True, image_size=64)
    save_checkpoint(random_network(config), fetch.nano_checkpoint(), half=True)
    result = run("export", *pictures, "--out", tmp_path / "graphs")
    assert result.exit_code == 0, result.output
    assert "small network of our own" in result.output
    assert "DRIFTED" not in result.output
    assert Graphs.load(tmp_path / "graphs").sizes == (ImageSize(64, 48),)


def test_words_that_are_not_understood(run: Run, checkpoint: Path, pictures: list[Path]) -> None:
    common = ("--checkpoint", checkpoint)
    for words, message in (
        (("export", *common, "--size", "64"), "WIDTHxHEIGHT"),
        (("export", *common, "--precision", "int8"), "fp32, fp16, bf16"),
        (("export", pictures[0], *common), "1 pictures"),
        (("build-engine", *common), "0 pictures"),
    ):
        result = run(*words)
        assert isinstance(result.exception, UserError)
        assert message in str(result.exception)


def test_a_bug_shows_its_traceback(
    run: Run, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(building, "_export", broken)
    result = run("export", "--checkpoint", checkpoint)
    assert type(result.exception) is ValueError


def test_apart_is_another_process_and_its_errors_come_back() -> None:
    assert building.apart(os.getpid) != os.getpid()
    with pytest.raises(ValueError, match="invalid literal"):
        building.apart(int, "x")


def test_build_engine(
    run: Run,
    checkpoint: Path,
    pictures: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = (
        *("build-engine", *pictures, "--checkpoint", checkpoint, "--size", "64x48"),
        *("--out", tmp_path / "engines", "--batch", 2, "--cuda-graphs"),
    )
    without = run(*words)
    assert isinstance(without.exception, UserError)
    assert "TensorRT is not installed" in str(without.exception)
    assert not (tmp_path / "engines").exists()

    tensorrt_fake.install(monkeypatch)
    built = run(*words)
    assert built.exit_code == 0, built.output
    assert "decoder_64x48_64x48.engine" in built.output
    assert "mean cosine" in built.output
    assert "parity of 64x48 with 64x48, 1 at once" in built.output
    assert "parity of 64x48 with 64x48, 2 at once" in built.output
    info = TensorRtEngine(tmp_path / "engines").info()
    assert (info.precision, info.batch, info.sizes) == ("fp16", 2, (ImageSize(64, 48),))

    strict = parity.Tolerance(cosine=2.0, agreement=0, log_points=9, log_confidence=9)
    monkeypatch.setitem(parity.TOLERANCES, "fp16", strict)
    monkeypatch.setattr(building, "_export", lambda *_: None)  # the same graphs again
    drifted = run(*words)
    assert isinstance(drifted.exception, parity.ParityError)
    assert "reference descriptors" in str(drifted.exception)
    assert not list((tmp_path / "engines").glob("*.engine*"))


def test_bf16_has_no_check_on_a_cpu(
    run: Run, checkpoint: Path, pictures: list[Path], tmp_path: Path
) -> None:
    words = ("--checkpoint", checkpoint, "--size", "64x48", "--precision", "bf16")
    result = run("export", *pictures, *words, "--out", tmp_path)
    assert isinstance(result.exception, UserError)
    assert "none on a CPU" in str(result.exception)
    assert not list(tmp_path.glob("*.onnx"))
