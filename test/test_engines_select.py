# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The engine that was asked for, or a fallback that says so."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from network_reference import TINY, random_network

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import EngineUnavailableError
from mast3r_ros.engines.export import export
from mast3r_ros.engines.select import EngineChoice, graphs_folder, open_engine
from mast3r_ros.network import fetch
from mast3r_ros.network.checkpoint import save_checkpoint
from mast3r_ros.network.fetch import checkpoint_hash

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a package without weights of its own."""
    monkeypatch.setenv("MAST3R_ROS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "nano_checkpoint", lambda: tmp_path / "nano.safetensors")
    return tmp_path / "cache"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_checkpoint(random_network(), path)
    return path


def test_auto_falls_back_and_says_so(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        engine = open_engine(EngineChoice(checkpoint=checkpoint, batch=3))
    info = engine.info()
    assert (info.name, info.precision, info.batch) == ("torch", "fp32", 1)
    assert info.checkpoint == checkpoint_hash(checkpoint)
    (note,) = info.notes
    assert note.startswith("tensorrt cannot run: TensorRT is not installed")
    assert "falling back to engine torch" in caplog.text


def test_exported_graphs_run_where_there_are_no_weights(cache: Path) -> None:
    config = replace(TINY, head="linear", encoder_depth=1, decoder_depth=1)
    size = ImageSize(48, 32)
    export(random_network(config), graphs_folder(), [size], [(size, size)])
    info = open_engine().info()
    assert (info.name, info.sizes) == ("onnxruntime", (size,))
    assert [note.split()[0] for note in info.notes][1:] == ["tensorrt", "torch"]
    assert "onnxruntime-gpu" in info.notes[0]
    assert open_engine(EngineChoice("onnxruntime", device="cpu")).info().notes == ()
    with pytest.raises(EngineUnavailableError, match="onnxruntime-gpu"):
        open_engine(EngineChoice("onnxruntime", device="cuda"))


def test_our_own_small_network_stands_in_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    config = replace(TINY, head="linear", rays=True, image_size=64)
    save_checkpoint(random_network(config), fetch.nano_checkpoint(), half=True)
    with caplog.at_level(logging.WARNING):
        engine = open_engine(EngineChoice("torch", device="cpu"))
    assert engine.config == config
    assert engine.info().notes == (fetch.OWN_NOTE,)
    assert "fetch-checkpoint" in caplog.text
    assert open_engine(EngineChoice("torch", "nano", device="cpu")).info().notes == ()
    with pytest.raises(EngineUnavailableError, match="no network weights"):
        open_engine(EngineChoice("torch", "published"))


def test_graphs_of_other_weights_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    config = replace(TINY, head="linear", encoder_depth=1, decoder_depth=1)
    other, size = tmp_path / "other.safetensors", ImageSize(48, 32)
    model = random_network(config)
    save_checkpoint(model, other)
    export(model, graphs_folder(), [size], [(size, size)], checkpoint=checkpoint_hash(other))
    engine = open_engine(EngineChoice("onnxruntime", other, device="cpu"))
    assert engine.info().checkpoint == checkpoint_hash(other)
    with pytest.raises(EngineUnavailableError, match=r"other weights than .*weights\.safetensors"):
        open_engine(EngineChoice("onnxruntime", checkpoint, device="cpu"))


def test_nothing_runs_without_weights_and_every_reason_is_given() -> None:
    with pytest.raises(EngineUnavailableError) as caught:
        open_engine()
    message = str(caught.value)
    for words in ("tensorrt cannot run", "fetch-checkpoint --accept-license", "mast3r_ros export"):
        assert words in message


def test_an_engine_that_was_asked_for_has_no_fallback(checkpoint: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="TensorRT is not installed"):
        open_engine(EngineChoice("tensorrt", checkpoint))
    with pytest.raises(EngineUnavailableError, match="engine torch: no network weights"):
        open_engine(EngineChoice("torch"))
    with pytest.raises(EngineUnavailableError, match="no CUDA GPU"):
        open_engine(EngineChoice("torch", checkpoint, device="cuda"))
    with pytest.raises(EngineUnavailableError, match=str(graphs_folder())):
        open_engine(EngineChoice("onnxruntime", device="cpu"))
    with pytest.raises(EngineUnavailableError, match="auto, tensorrt, torch, onnxruntime"):
        open_engine(EngineChoice("tflite"))  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cpu", "cuda:x", "mps"])
def test_tensorrt_needs_a_gpu(device: str) -> None:
    with pytest.raises(EngineUnavailableError, match=r"needs a GPU|write auto, cpu"):
        open_engine(EngineChoice("tensorrt", device=device))


def test_no_torch(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(EngineUnavailableError, match=r"mast3r_ros\[mast3r\]"):
        open_engine(EngineChoice("torch", checkpoint))
