# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The network in PyTorch: float32 on a CPU, a half-precision backbone on a GPU.

On a GPU each shape is captured once as a CUDA graph, which takes the launch of some 1,500 kernels
a pair off the CPU; the results stay on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mast3r_ros.engines.base import (
    Batches,
    Encoded,
    EngineInfo,
    EngineUnavailableError,
    Latency,
    Precision,
    run_once,
)
from mast3r_ros.network.config import ImageSize
from mast3r_ros.network.heads import DptHead
from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.network.prediction import TwoViewPrediction, ViewPrediction

_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class TorchEngine:
    """MASt3R in PyTorch.

    Args:
        model: the network, float32; it is moved and converted in place.
        device: "cpu", "cuda" or "cuda:N".
        precision: of the backbone. Norms and heads stay in float32; with a half-precision backbone
            the heads' products use TF32, whose mantissa is no shorter than the backbone's.
        batch: most references decoded at once.
        cuda_graphs: capture each shape as a CUDA graph (on a GPU alone).
        checkpoint: SHA-256 of the weights' file.

    Raises:
        EngineUnavailableError: there is no such device.
    """

    def __init__(
        self,
        model: MAST3R,
        device: str = "cpu",
        precision: Precision = "fp32",
        batch: int = 8,
        cuda_graphs: bool = True,
        checkpoint: str = "",
    ) -> None:
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise EngineUnavailableError(
                f"engine torch on {device}: PyTorch {torch.__version__} sees no CUDA GPU; "
                "install its CUDA build and the driver, or use device: cpu"
            )
        self.config = model.config
        self.precision: Precision = precision
        self.checkpoint = checkpoint
        self._model = model.set_trunk_type(_TYPES[precision]).to(self.device)
        for module in model.modules():
            if isinstance(module, DptHead):
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._graphs: dict[Any, _CudaGraph] | None = None
        if self.device.type == "cuda" and cuda_graphs:
            self._graphs = {}
        self.notes: list[str] = []
        self._batches = Batches(
            batch, lambda e: isinstance(e, torch.cuda.OutOfMemoryError), self.notes
        )
        self._latency = Latency()

    def encode(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """(B, C, H, W) -> tokens (B, N, encoder width), float16 on a GPU."""
        with self._running("encode"):
            tokens = self._run(("encode",), self._encode, [self._put(images)])[0]
            return tokens.cpu().numpy()

    def decode(
        self, references: Sequence[Encoded], query: Encoded, query_points: bool = False
    ) -> list[TwoViewPrediction[Tensor]]:
        """One query against its references, in their order; arrays stay on the device."""
        # One batch holds images of one token count; sorted sizes make few different graphs.
        order = sorted(
            range(len(references)), key=lambda i: (len(references[i].tokens), references[i].size)
        )
        results: dict[int, TwoViewPrediction[Tensor]] = {}
        with self._running("decode"):
            tokens = self._put(query.tokens)[None]
            for count in sorted({len(reference.tokens) for reference in references}):
                group = [i for i in order if len(references[i].tokens) == count]
                predictions = self._batches.run(
                    [references[i] for i in group],
                    lambda some: self._decode(some, tokens, query.size, query_points),
                    self._release,
                )
                results |= zip(group, predictions, strict=True)
        return [results[i] for i in range(len(references))]

    def warm_up(self, sizes: Sequence[ImageSize]) -> None:
        """Encode and decode at each size, with one reference and with a full batch."""
        run_once(self, sizes, {1, self._batches.size})

    def info(self) -> EngineInfo:
        """What runs now."""
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
            memory = torch.cuda.memory_reserved(self.device)
        else:
            name = "cpu"
            memory = sum(p.numel() * p.element_size() for p in self._model.parameters())
        return EngineInfo(
            name="torch",
            precision=self.precision,
            device=name,
            checkpoint=self.checkpoint,
            sizes=None,
            batch=self._batches.size,
            memory=memory,
            notes=tuple(self.notes),
            latency=dict(self._latency.seconds),
        )

    def _encode(self, images: Tensor) -> list[Tensor]:
        tokens = self._model.encode(images)
        return [tokens.half() if self.device.type == "cuda" else tokens]

    def _decode(
        self, references: Sequence[Encoded], query: Tensor, query_size: ImageSize, points: bool
    ) -> list[TwoViewPrediction[Tensor]]:
        stacked = self._put(np.stack([reference.tokens for reference in references]))
        sizes = [reference.size for reference in references]

        def run(references: Tensor, query: Tensor) -> list[Tensor]:
            pairs = self._model.decode(references, query, sizes, query_size, points)
            return [
                value
                for pair in pairs
                for view in (pair.reference, pair.query)
                for value in vars(view).values()
                if value is not None
            ]

        key = ("decode", tuple(sizes), query_size, points)
        values = iter(self._run(key, run, [stacked, query]))

        def view(has_points: bool) -> ViewPrediction[Tensor]:
            points, confidence = (next(values), next(values)) if has_points else (None, None)
            return ViewPrediction(points, confidence, next(values), next(values))

        return [TwoViewPrediction(view(True), view(points)) for _ in references]

    def _run(
        self, key: Any, work: Callable[..., list[Tensor]], inputs: list[Tensor]
    ) -> list[Tensor]:
        if self._graphs is None:
            return work(*inputs)
        key = (key, *((tuple(x.shape), x.dtype) for x in inputs))
        if key not in self._graphs:
            self._graphs[key] = _CudaGraph(work, inputs)
        return self._graphs[key](inputs)

    def _put(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _release(self) -> None:
        if self._graphs is not None:
            self._graphs.clear()
        torch.cuda.empty_cache()

    @contextmanager
    def _running(self, stage: str) -> Iterator[None]:
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        before = matmul.allow_tf32, cudnn.allow_tf32
        matmul.allow_tf32 = cudnn.allow_tf32 = self.precision != "fp32"
        try:
            with torch.inference_mode(), self._latency.stage(stage):
                yield
                if self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)
        finally:
            matmul.allow_tf32, cudnn.allow_tf32 = before


class _CudaGraph:
    """A function captured for inputs of one shape."""

    def __init__(self, work: Callable[..., list[Tensor]], inputs: list[Tensor]) -> None:
        self._inputs = [x.clone() for x in inputs]
        # Libraries choose their kernels and allocate workspaces in the first runs, which may not
        # happen during the capture.
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                work(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = work(*self._inputs)

    def __call__(self, inputs: list[Tensor]) -> list[Tensor]:
        for static, x in zip(self._inputs, inputs, strict=True):
            static.copy_(x)
        self._graph.replay()
        # The next replay writes over the graph's own outputs.
        return [x.clone() for x in self._outputs]
