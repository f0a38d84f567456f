# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The engine that was asked for, or a fallback that says so."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from network_reference import TINY, random_network

from mast3r_ros.engines.base import EngineUnavailableError
from mast3r_ros.engines.export import export
from mast3r_ros.engines.select import graphs_folder, open_engine
from mast3r_ros.network.checkpoint import checkpoint_hash, save_checkpoint

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAST3R_ROS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_checkpoint(random_network(), path)
    return path


def test_auto_falls_back_and_says_so(checkpoint: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        engine = open_engine(checkpoint=checkpoint, batch=3)
    info = engine.info()
    assert (info.name, info.precision, info.batch) == ("torch", "fp32", 1)
    assert info.checkpoint == checkpoint_hash(checkpoint)
    (note,) = info.notes
    assert note.startswith("tensorrt cannot run: TensorRT is not installed")
    assert "falling back to engine torch" in caplog.text


def test_exported_graphs_run_where_there_are_no_weights(cache: Path) -> None:
    config = replace(TINY, head="linear", encoder_depth=1, decoder_depth=1)
    size = (32, 48)
    export(random_network(config), graphs_folder(), [size], [(size, size)])
    info = open_engine().info()
    assert (info.name, info.sizes) == ("onnxruntime", (size,))
    assert [note.split()[0] for note in info.notes][1:] == ["tensorrt", "torch"]
    assert "onnxruntime-gpu" in info.notes[0]
    assert open_engine("onnxruntime", device="cpu").info().notes == ()
    with pytest.raises(EngineUnavailableError, match="onnxruntime-gpu"):
        open_engine("onnxruntime", device="cuda")


def test_nothing_runs_without_weights_and_every_reason_is_given() -> None:
    with pytest.raises(EngineUnavailableError) as caught:
        open_engine()
    message = str(caught.value)
    for words in ("tensorrt cannot run", "fetch-checkpoint --accept-license", "mast3r_ros export"):
        assert words in message


def test_an_engine_that_was_asked_for_has_no_fallback(checkpoint: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="TensorRT is not installed"):
        open_engine("tensorrt", checkpoint)
    with pytest.raises(EngineUnavailableError, match="engine torch: no network weights"):
        open_engine("torch")
    with pytest.raises(EngineUnavailableError, match="no CUDA GPU"):
        open_engine("torch", checkpoint, device="cuda")
    with pytest.raises(EngineUnavailableError, match=str(graphs_folder())):
        open_engine("onnxruntime", device="cpu")
    with pytest.raises(EngineUnavailableError, match="auto, tensorrt, torch, onnxruntime"):
        open_engine("tflite")  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cpu", "cuda:x", "mps"])
def test_tensorrt_needs_a_gpu(device: str) -> None:
    with pytest.raises(EngineUnavailableError, match=r"needs a GPU|write auto, cpu"):
        open_engine("tensorrt", device=device)


def test_no_torch(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(EngineUnavailableError, match=r"mast3r_ros\[mast3r\]"):
        open_engine("torch", checkpoint)
