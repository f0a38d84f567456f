# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which engine runs: the one asked for, or the fastest that can, saying why the others cannot."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from mast3r_ros.common.cache import cache_folder
from mast3r_ros.engines.base import Engine, EngineUnavailableError, as_precision
from mast3r_ros.network.fetch import (
    CheckpointMissingError,
    checkpoint_hash,
    find_checkpoint,
    note_on,
)

ENGINES = ("auto", "tensorrt", "torch", "onnxruntime")

_log = logging.getLogger(__name__)


def graphs_folder() -> Path:
    """Where exported graphs and built engines are, unless the user says otherwise."""
    return cache_folder() / "engines"


def open_engine(
    engine: str = "auto",
    checkpoint: str | Path | None = None,
    graphs: str | Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch: int = 8,
    cuda_graphs: bool = True,
) -> Engine:
    """Open an engine.

    Args:
        engine: the one to open; "auto" tries tensorrt, torch and onnxruntime in this order, and
            says loudly which of them could not run.
        checkpoint: weights, as `find_checkpoint` takes them. Graphs hold their own: they are
            refused where others are named here.
        graphs: folder of exported graphs and built engines; `graphs_folder` if None.
        device: "cpu", "cuda", "cuda:N", or "auto": a GPU where there is one.
        precision: of torch's backbone; "auto": fp16 on a GPU, fp32 on a CPU. Graphs have their own.
        batch: most references decoded at once on a GPU; a CPU takes them one by one, which is as
            fast and needs less memory.
        cuda_graphs: capture each shape as a CUDA graph (torch, tensorrt).

    Raises:
        EngineUnavailableError: the one asked for, or every one, cannot run; says why.
    """
    folder = Path(graphs).expanduser() if graphs else graphs_folder()

    def tensorrt() -> Engine:
        from mast3r_ros.engines.tensorrt_engine import TensorRtEngine

        if device == "cpu":
            raise EngineUnavailableError("engine tensorrt needs a GPU, but device is cpu")
        running = TensorRtEngine(folder, _gpu_number(device), batch, cuda_graphs)
        return _require_weights(running, folder, checkpoint)

    def torch() -> Engine:
        try:
            import torch
        except ImportError as error:
            raise EngineUnavailableError(
                "engine torch: pip install 'mast3r_ros[mast3r]'"
            ) from error
        from mast3r_ros.engines.torch_engine import TorchEngine
        from mast3r_ros.network.checkpoint import load_checkpoint

        where = device
        if device == "auto":
            where = "cuda" if torch.cuda.is_available() else "cpu"
        chosen = precision
        if precision == "auto":
            chosen = "fp32" if where == "cpu" else "fp16"
        path = find_checkpoint(checkpoint)
        running = TorchEngine(
            load_checkpoint(path),
            where,
            as_precision(chosen),
            1 if where == "cpu" else batch,
            cuda_graphs,
            checkpoint_hash(path),
        )
        if note := note_on(checkpoint, path):
            _log.warning("engine torch %s", note)
            running.notes.append(note)
        return running

    def onnxruntime() -> Engine:
        from mast3r_ros.engines.onnxruntime_engine import OnnxRuntimeEngine

        reasons = []
        if device != "cpu":
            try:
                on_gpu = OnnxRuntimeEngine(folder, "cuda", batch)
                return _require_weights(on_gpu, folder, checkpoint)
            except EngineUnavailableError as error:
                if device != "auto":
                    raise
                reasons.append(str(error))
        on_cpu = OnnxRuntimeEngine(folder, "cpu", 1)
        return _noted(_require_weights(on_cpu, folder, checkpoint), reasons)

    ways: dict[str, Callable[[], Engine]] = {
        "tensorrt": tensorrt,
        "torch": torch,
        "onnxruntime": onnxruntime,
    }
    if engine != "auto":
        if engine not in ways:
            raise EngineUnavailableError(f"engine {engine!r}: choose one of {', '.join(ENGINES)}")
        try:
            return ways[engine]()
        except CheckpointMissingError as error:
            raise EngineUnavailableError(f"engine {engine}: {error}") from error
    reasons: list[str] = []
    for name, way in ways.items():
        try:
            return _noted(way(), reasons)
        except (EngineUnavailableError, CheckpointMissingError) as error:
            reasons.append(f"{name} cannot run: {error}")
    raise EngineUnavailableError("no engine can run here.\n" + "\n".join(reasons))


def _require_weights(engine: Engine, folder: Path, checkpoint: str | Path | None) -> Engine:
    """Refuse graphs of other weights than those asked for."""
    if checkpoint and engine.info().checkpoint != checkpoint_hash(find_checkpoint(checkpoint)):
        raise EngineUnavailableError(
            f"the graphs in {folder} hold other weights than {checkpoint}: export them again with\n"
            f"    mast3r_ros export --checkpoint {checkpoint}"
        )
    return engine


def _noted(engine: Engine, reasons: list[str]) -> Engine:
    """The engine, with what was tried before it in its notes and in the log."""
    for reason in reasons:
        _log.warning("falling back to engine %s: %s", engine.info().name, reason)
        engine.notes.append(reason)
    return engine


def _gpu_number(device: str) -> int:
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cuda") or not (number or "0").isdigit():
        raise EngineUnavailableError(f"device {device!r}: write auto, cpu, cuda or cuda:N")
    return int(number or 0)
