# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The engine that was asked for, or a fallback that says so."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from network_reference import TINY, random_network

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines import select
from mast3r_ros.engines.base import EngineUnavailableError
from mast3r_ros.engines.cuda import CudaError
from mast3r_ros.engines.export import export
from mast3r_ros.engines.graphs import Graphs
from mast3r_ros.engines.select import EngineChoice, graphs_folder, open_engine
from mast3r_ros.engines.torch_engine import TorchEngine
from mast3r_ros.network import fetch
from mast3r_ros.network.checkpoint import save_checkpoint
from mast3r_ros.network.fetch import checkpoint_hash

SIZE = ImageSize(48, 32)

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here"),
    pytest.mark.usefixtures("quick_export"),
]


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


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights, and graphs that were exported from them."""
    folder = tmp_path_factory.mktemp("exported")
    model = random_network(replace(TINY, head="linear", encoder_depth=1, decoder_depth=1))
    path = folder / "weights.safetensors"
    save_checkpoint(model, path)
    export(model, folder / "graphs", [SIZE], [(SIZE, SIZE)], checkpoint=checkpoint_hash(path))
    return folder


def test_exported_graphs_run_where_there_are_no_weights(exported: Path) -> None:
    shutil.copytree(exported / "graphs", graphs_folder())
    info = open_engine().info()
    assert (info.name, info.sizes) == ("onnxruntime", (SIZE,))
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


def test_graphs_of_other_weights_are_refused(checkpoint: Path, exported: Path) -> None:
    shutil.copytree(exported / "graphs", graphs_folder())
    other = exported / "weights.safetensors"
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


def test_an_error_of_cuda_does_not_end_auto(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(choice: EngineChoice) -> None:
        raise CudaError("cudaStreamCreate failed: cudaErrorDevicesUnavailable")

    monkeypatch.setitem(select._FACTORIES, "tensorrt", broken)
    info = open_engine(EngineChoice(checkpoint=checkpoint)).info()
    assert info.name == "torch"
    assert info.notes[0].startswith("tensorrt cannot run: cudaStreamCreate failed")


def test_onnxruntime_runs_on_the_gpu_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float32 proper, not in TF32."""
    opened: list[Any] = []

    class Session:
        def __init__(self, path: Path, providers: list[Any]) -> None:
            opened.append(providers)

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

    size = ImageSize(48, 32)
    graphs = Graphs(tmp_path, TINY, "fp32", "", (size,), ((size, size),))
    graphs.save()
    for path in graphs.files():
        path.touch()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    open_engine(EngineChoice("onnxruntime", graphs=tmp_path, device="cuda:1"))
    assert opened == [[("CUDAExecutionProvider", {"device_id": "1", "use_tf32": "0"})]]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("CUDA error: no kernel image is available\nmore"), r"\(CUDA.*available\)"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), "out of memory"),
    ],
)
def test_a_build_of_pytorch_for_other_gpus_is_named(
    monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    """Not at the first image, and with `auto` the next engine runs."""

    def zeros(*_: Any, **__: Any) -> None:
        raise error

    model = random_network(replace(TINY, head="linear"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch, "zeros", zeros)
    with pytest.raises(EngineUnavailableError, match=rf"cannot compute there.*{says}"):
        TorchEngine(model, "cuda")
