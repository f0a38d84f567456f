# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Functions of tensors captured as CUDA graphs, one for each shape. NOT RUN ON A GPU YET.

All graphs share one memory pool: they never run at the same time, so that one's intermediate
results lie where another's do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Work = Callable[..., list[Tensor]]


class CudaGraphs:
    """Graphs by function and shape, on the current device of the thread that runs them."""

    def __init__(self) -> None:
        self._graphs: dict[Any, _CudaGraph] = {}
        self._pool: Any = None

    def run(self, key: Any, work: Work, inputs: Sequence[Tensor]) -> list[Tensor]:
        """`work(*inputs)`, captured at its first call with these shapes.

        Args:
            key: tells functions apart.
            work: launches kernels alone: no wait, no copy from the host.
            inputs: their values may change from call to call.

        Returns:
            Tensors of the caller's own.
        """
        key = (key, *((tuple(x.shape), x.dtype) for x in inputs))
        if key not in self._graphs:
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            self._graphs[key] = _CudaGraph(work, inputs, self._pool)
        return self._graphs[key].replay(inputs)

    def clear(self) -> None:
        """Free all graphs and their memory."""
        self._graphs.clear()
        self._pool = None


class _CudaGraph:
    def __init__(self, work: Work, inputs: Sequence[Tensor], pool: Any) -> None:
        self._inputs = [x.clone(memory_format=torch.contiguous_format) for x in inputs]
        # Libraries choose their kernels and allocate workspaces in the first runs, which may not
        # happen during the capture.
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                work(*self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads (a camera's driver, the node's) may use CUDA meanwhile.
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._outputs = work(*self._inputs)

    def replay(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        for static, x in zip(self._inputs, inputs, strict=True):
            static.copy_(x)
        self._graph.replay()
        # The next replay writes over the graph's own outputs.
        return [x.clone() for x in self._outputs]
