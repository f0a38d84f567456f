# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which engine runs: the one asked for, or the fastest that can, saying why the others cannot."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mast3r_ros.common.cache import cache_folder
from mast3r_ros.engines.base import Engine, EngineError, EngineUnavailableError, as_precision
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


@dataclass(frozen=True)
class EngineChoice:
    """Which engine runs, and how.

    Attributes:
        engine: "auto" tries tensorrt, torch and onnxruntime in this order, and says loudly which of
            them could not run.
        checkpoint: weights, as `find_checkpoint` takes them. Graphs hold their own: they are
            refused where others are named here.
        graphs: folder of exported graphs and built engines; `graphs_folder` if None.
        device: "cpu", "cuda", "cuda:N", or "auto": a GPU where there is one.
        precision: of torch; "auto": fp16 on a GPU, fp32 on a CPU. Graphs have their own.
        batch: most pairs decoded at once on a GPU; a CPU takes them one by one, which is as fast
            and needs less memory.
        cuda_graphs: capture batches as CUDA graphs (torch, tensorrt).
    """

    engine: str = "auto"
    checkpoint: str | Path | None = None
    graphs: str | Path | None = None
    device: str = "auto"
    precision: str = "auto"
    batch: int = 8
    cuda_graphs: bool = False

    @property
    def folder(self) -> Path:
        """Where the graphs are."""
        return Path(self.graphs).expanduser() if self.graphs else graphs_folder()

    @property
    def gpu(self) -> int:
        """Number of the GPU; the first one where none is named."""
        kind, _, number = self.device.partition(":")
        if kind not in ("auto", "cuda") or not (number or "0").isdigit():
            raise EngineUnavailableError(f"device {self.device!r}: write auto, cpu, cuda or cuda:N")
        return int(number or 0)


def open_engine(choice: EngineChoice | None = None) -> Engine:
    """Open an engine.

    Raises:
        EngineUnavailableError: the one asked for, or every one, cannot run; says why.
    """
    choice = choice or EngineChoice()
    if choice.engine != "auto":
        if choice.engine not in _FACTORIES:
            raise EngineUnavailableError(
                f"engine {choice.engine!r}: choose one of {', '.join(ENGINES)}"
            )
        try:
            return _FACTORIES[choice.engine](choice)
        except CheckpointMissingError as error:
            raise EngineUnavailableError(f"engine {choice.engine}: {error}") from error
    reasons: list[str] = []
    for name, factory in _FACTORIES.items():
        try:
            return _noted(factory(choice), reasons)
        # Whatever a user can put right, an error of the CUDA runtime among them.
        except (EngineError, CheckpointMissingError) as error:
            reasons.append(f"{name} cannot run: {error}")
    raise EngineUnavailableError("no engine can run here.\n" + "\n".join(reasons))


def open_tensorrt(choice: EngineChoice) -> Engine:
    """The engines that `mast3r_ros build-engine` made."""
    from mast3r_ros.engines.tensorrt_engine import TensorRtEngine

    if choice.device == "cpu":
        raise EngineUnavailableError("engine tensorrt needs a GPU, but device is cpu")
    engine = TensorRtEngine(choice.folder, choice.gpu, choice.batch, choice.cuda_graphs)
    return _require_weights(engine, choice)


def open_torch(choice: EngineChoice) -> Engine:
    """The network of a checkpoint in PyTorch."""
    try:
        import torch
    except ImportError as error:
        raise EngineUnavailableError("engine torch: pip install 'mast3r_ros[mast3r]'") from error
    from mast3r_ros.engines.torch_engine import TorchEngine
    from mast3r_ros.network.checkpoint import load_checkpoint

    where = choice.device
    if where == "auto":
        where = "cuda" if torch.cuda.is_available() else "cpu"
    precision = choice.precision
    if precision == "auto":
        precision = "fp32" if where == "cpu" else "fp16"
    path = find_checkpoint(choice.checkpoint)
    engine = TorchEngine(
        load_checkpoint(path),
        where,
        as_precision(precision),
        1 if where == "cpu" else choice.batch,
        choice.cuda_graphs,
        checkpoint_hash(path),
    )
    if note := note_on(choice.checkpoint, path):
        _log.warning("engine torch %s", note)
        engine.notes.append(note)
    return engine


def open_onnxruntime(choice: EngineChoice) -> Engine:
    """The exported graphs in ONNX Runtime: on a GPU where there is one, else on the CPU."""
    from mast3r_ros.engines.onnxruntime_engine import OnnxRuntimeEngine

    reasons = []
    if choice.device != "cpu":
        try:
            engine = OnnxRuntimeEngine(choice.folder, "cuda", choice.batch, choice.gpu)
            return _require_weights(engine, choice)
        except EngineUnavailableError as error:
            if choice.device != "auto":
                raise
            reasons.append(str(error))
    on_cpu = OnnxRuntimeEngine(choice.folder, "cpu", 1)
    return _noted(_require_weights(on_cpu, choice), reasons)


_FACTORIES: dict[str, Callable[[EngineChoice], Engine]] = {
    "tensorrt": open_tensorrt,
    "torch": open_torch,
    "onnxruntime": open_onnxruntime,
}


def _require_weights(engine: Engine, choice: EngineChoice) -> Engine:
    """Refuse graphs of other weights than those asked for."""
    checkpoint = choice.checkpoint
    if checkpoint and engine.info().checkpoint != checkpoint_hash(find_checkpoint(checkpoint)):
        raise EngineUnavailableError(
            f"the graphs in {choice.folder} hold other weights than {checkpoint}: export them "
            f"again with\n    mast3r_ros export --checkpoint {checkpoint}"
        )
    return engine


def _noted(engine: Engine, reasons: list[str]) -> Engine:
    """The engine, with what was tried before it in its notes and in the log."""
    for reason in reasons:
        _log.warning("falling back to engine %s: %s", engine.info().name, reason)
        engine.notes.append(reason)
    return engine
