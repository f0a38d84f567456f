# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Built TensorRT engines, running. NOT RUN ON A GPU YET.

An encoder and a point head a size, a decoder a pair of sizes, each loaded when it is first needed.
"""

from __future__ import annotations

import logging
import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import DecodedPair, EngineInfo, EngineUnavailableError, Pair
from mast3r_ros.engines.batched import (
    BatchedEngine,
    SizePair,
    as_pairs,
    as_point_maps,
    captured_counts,
    padded_total,
)
from mast3r_ros.engines.cuda import Cuda, CudaMemoryError
from mast3r_ros.engines.cuda_memory import DeviceArray, Memory
from mast3r_ros.engines.graphs import (
    ENCODER_INPUT,
    ENCODER_OUTPUT,
    POINTS_OUTPUTS,
    QUERY_TOKENS,
    REFERENCE_TOKENS,
    Graphs,
)
from mast3r_ros.engines.tensorrt_build import ENGINE_SUFFIX, Stamp
from mast3r_ros.engines.tensorrt_program import Program, Scratch
from mast3r_ros.network.prediction import PointMap

_log = logging.getLogger(__name__)


def import_tensorrt() -> Any:
    """The tensorrt module.

    Raises:
        EngineUnavailableError: it is missing or too old.
    """
    try:
        import tensorrt
    except ImportError as error:
        raise EngineUnavailableError(
            f"TensorRT is not installed ({error}): on a Jetson it comes with JetPack 6, "
            "elsewhere pip install tensorrt"
        ) from error
    major, minor = (int(part) for part in tensorrt.__version__.split(".")[:2])
    if (major, minor) < (10, 3):
        raise EngineUnavailableError(f"TensorRT {tensorrt.__version__} is too old: 10.3 is needed")
    return tensorrt


class TensorRtEngine(BatchedEngine):
    """Engines that `mast3r_ros build-engine` made; arrays stay on the GPU.

    Args:
        folder: graphs and engines.
        device: number of the GPU.
        batch: most pairs decoded at once, within what the engines were built for.
        cuda_graphs: capture batches of 1, 2, 4, 8 ... pairs as CUDA graphs.
        stream: handle of the CUDA stream to work on; a new one where it is not given.

    Raises:
        EngineUnavailableError: a library, the GPU or a file is missing or does not fit.
    """

    def __init__(
        self,
        folder: str | Path,
        device: int = 0,
        batch: int = 8,
        cuda_graphs: bool = False,
        stream: int | None = None,
    ) -> None:
        self._trt = trt = import_tensorrt()
        self.graphs = Graphs.load(folder)
        super().__init__(self.graphs.config, batch, lambda e: isinstance(e, CudaMemoryError))
        self._cuda = Cuda(device, stream)
        self._cuda_graphs = cuda_graphs
        self._memory = Memory(self._cuda)
        self._scratch = Scratch(self._memory)
        self._plans = 0
        self._programs: dict[Path, Program] = {}
        for path in self.graphs.files(ENGINE_SUFFIX):
            stamp = Stamp.load(path)
            stamp.require(self.graphs, self._cuda.gpu, trt.__version__, path)
            self._batches.size = min(self._batches.size, stamp.batch)
        self.graphs.require_files(ENGINE_SUFFIX)
        with self._cuda.current():
            self._logger = _logger(trt)
            self._runtime = trt.Runtime(self._logger)
            # Now, so that a file that does not load is known before the first image.
            self._program(self.graphs.encoder(self.graphs.sizes[0], ENGINE_SUFFIX))

    def batch_for(self, count: int) -> int:
        """How many pairs take no longer than `count`: those that CUDA graphs are padded to."""
        return padded_total(count, self._batches.size) if self._cuda_graphs else count

    def info(self) -> EngineInfo:
        """What runs now."""
        return EngineInfo(
            name=f"tensorrt {self._trt.__version__}",
            precision=self.graphs.precision,
            device=self._cuda.gpu,
            checkpoint=self.graphs.checkpoint,
            sizes=self.graphs.sizes,
            batch=self._batches.size,
            memory=self._memory.device.held + self._plans,
            notes=tuple(self.notes),
            latency=dict(self._latency.seconds),
            gpu=self._cuda.number,
        )

    def _encode(self, images: NDArray[np.float32]) -> NDArray[Any]:
        program = self._program(self.graphs.encoder(ImageSize.of(images.shape[2:]), ENGINE_SUFFIX))
        tokens = [
            program.run({ENCODER_INPUT: [image]}, 1)[ENCODER_OUTPUT].to_host() for image in images
        ]
        return np.concatenate(tokens)

    def _decode(self, sizes: SizePair, pairs: Sequence[Pair]) -> list[DecodedPair]:
        program = self._program(self.graphs.decoder(sizes, ENGINE_SUFFIX))
        inputs = {
            name: [pair[side].tokens for pair in pairs]
            for side, name in enumerate((REFERENCE_TOKENS, QUERY_TOKENS))
        }
        outputs = program.run(inputs, self._batches.size)
        return as_pairs([outputs[name] for name in self.graphs.decoder_outputs], pairs)

    def _points(
        self, size: ImageSize, decoded: Sequence[DecodedPair]
    ) -> list[PointMap[DeviceArray]]:
        program = self._program(self.graphs.points(size, ENGINE_SUFFIX))
        levels: list[Sequence[Any]] = list(zip(*(d.levels for d in decoded), strict=True))
        if 0 in self.config.point_levels:
            levels.insert(0, [d.encoded.tokens for d in decoded])
        inputs = dict(zip(self.graphs.points_inputs, levels, strict=True))
        outputs = program.run(inputs, self._batches.size)
        return as_point_maps([outputs[name] for name in POINTS_OUTPUTS], len(decoded))

    def warm_up(self, sizes: Sequence[ImageSize]) -> None:
        """Run everything at each size, until the scratch memory grows no more.

        A growth makes graphs stale, which the next frame would wait for.
        """
        before = -1
        while before != self._scratch.generation:
            before = self._scratch.generation
            super().warm_up(sizes)
            if not self._cuda_graphs:
                return

    def _usual_counts(self) -> Sequence[int]:
        counts = captured_counts(self._batches.size) if self._cuda_graphs else None
        # The largest first: it needs the most scratch memory.
        return sorted(counts or super()._usual_counts(), reverse=True)

    def _release(self) -> None:
        for program in self._programs.values():
            program.release()
        self._scratch.drop()
        self._memory.release()

    @contextmanager
    def _running(self, stage: str) -> Iterator[None]:
        with super()._running(stage), self._cuda.current():
            yield
            self._memory.settle()

    def _program(self, path: Path) -> Program:
        if path not in self._programs:
            engine = self._deserialize(path)
            self._plans += path.stat().st_size
            self._programs[path] = Program(
                self._trt, engine, self._memory, self._scratch, self._cuda_graphs
            )
        return self._programs[path]

    def _deserialize(self, path: Path) -> Any:
        """Load an engine; its file is mapped, not read, so that the host needs no copy of it.

        Raises:
            EngineUnavailableError: the GPU's memory does not hold it, or the file is damaged.
        """
        self._logger.errors.clear()
        free = self._cuda.free_memory()
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as plan:
            engine = self._runtime.deserialize_cuda_engine(plan)
            size = len(plan)
        if engine is not None:
            return engine
        said = "; ".join(self._logger.errors)
        if free < size or "memory" in said.lower():
            raise EngineUnavailableError(
                f"the GPU's memory does not hold {path.name} ({size / 1e9:.2f} GB, "
                f"{free / 1e9:.2f} GB free): end other programs, or build fewer sizes. "
                "`mast3r_ros doctor` shows what fits"
            )
        raise EngineUnavailableError(
            f"TensorRT {self._trt.__version__} does not load {path}: it is damaged ({said}); "
            "build it again"
        )


def _logger(trt: Any) -> Any:
    """TensorRT's messages in our log; its errors are kept for ours."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            level = int(severity)  # 0 and 1 are errors, 2 warnings
            if level <= 1:
                self.errors.append(message)
            report: Callable[..., None] = (_log.error, _log.error, _log.warning, _log.debug)[
                min(level, 3)
            ]
            report("TensorRT: %s", message)

    return Log()
