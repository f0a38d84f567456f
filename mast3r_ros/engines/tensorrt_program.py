# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One TensorRT engine with its contexts, and the scratch memory that all engines share.

Without CUDA graphs an engine has one context, whose shapes change from batch to batch. With graphs
it has one for each captured batch: a graph holds the addresses and shapes of the context that it
was captured from, which nothing may change afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.engines.base import EngineError
from mast3r_ros.engines.batched import padded_count
from mast3r_ros.engines.cuda import CudaGraph, CudaMemoryError
from mast3r_ros.engines.cuda_memory import Block, DeviceArray, Memory


@dataclass(frozen=True)
class _Tensor:
    """An input or output of an engine; a leading -1 stands for the batch."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_input: bool

    def at(self, count: int) -> tuple[int, ...]:
        """The shape for a batch."""
        return (count if self.shape[0] == -1 else self.shape[0], *self.shape[1:])

    def size(self, count: int) -> int:
        """Bytes for a batch."""
        return math.prod(self.at(count)) * self.dtype.itemsize


class Scratch:
    """What contexts compute in, one after the other: as large as the largest has needed so far."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._block: Block | None = None
        self.generation = 0  # changes with the address

    @property
    def size(self) -> int:
        """Bytes."""
        return 0 if self._block is None else self._block.size

    def at_least(self, size: int) -> Block:
        """The memory, enlarged where it is too small; what holds its old address is then stale."""
        if self._block is None or self._block.size < size:
            self.drop()
            self._block = self._memory.device.take(max(size, 1))
        return self._block

    def drop(self) -> None:
        """Give the memory up."""
        if self._block is not None:
            self._memory.cuda.synchronize()
            self._block = None
            self._memory.device.release()
            self.generation += 1


@dataclass
class _Bound:
    """A context whose shapes and addresses are set for a batch."""

    context: Any
    inputs: dict[str, Block]
    outputs: dict[str, Block]
    generation: int  # of the scratch memory
    graph: CudaGraph | None = None


class Program:
    """One engine, run batch by batch.

    Args:
        trt: the tensorrt module.
        engine: deserialized.
        memory: of the GPU.
        scratch: shared with the other engines of this GPU and stream.
        cuda_graphs: capture batches of 1, 2, 4, 8 ... as CUDA graphs.
    """

    def __init__(
        self, trt: Any, engine: Any, memory: Memory, scratch: Scratch, cuda_graphs: bool
    ) -> None:
        self._trt = trt
        self._engine = engine
        self._memory = memory
        self._scratch = scratch
        self._cuda_graphs = cuda_graphs
        self._tensors = [
            _Tensor(
                name,
                tuple(engine.get_tensor_shape(name)),
                np.dtype(trt.nptype(engine.get_tensor_dtype(name))),
                engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT,
            )
            for name in map(engine.get_tensor_name, range(engine.num_io_tensors))
        ]
        self._context: Any = None
        self._captured: dict[int, _Bound] = {}

    def run(
        self, inputs: Mapping[str, Sequence[NDArray[Any] | DeviceArray]], most: int
    ) -> dict[str, DeviceArray]:
        """Run for a batch.

        Args:
            inputs: by name, the members of the batch, on the host or on this GPU.
            most: the largest batch, to which captured ones are padded.

        Returns:
            The outputs by name, with the batch in front; padding is left out.
        """
        count = len(next(iter(inputs.values())))
        if self._cuda_graphs:
            bound = self._capture(padded_count(count, most))
        else:
            bound = self._bind(self._plain_context(), count)
        self._fill(bound, inputs)
        if bound.graph is None:
            self._execute(bound.context)
            outputs = bound.outputs
        else:
            bound.graph.launch()
            outputs = self._copies(bound, count)
        return {
            tensor.name: DeviceArray(
                self._memory, outputs[tensor.name], tensor.at(count), tensor.dtype
            )
            for tensor in self._tensors
            if not tensor.is_input
        }

    def release(self) -> None:
        """Give up graphs and contexts; they are made again when they are needed."""
        self._captured.clear()
        self._context = None

    def _capture(self, count: int) -> _Bound:
        """The graph for a batch; the first call captures it."""
        bound = self._captured.get(count)
        # One of an earlier generation works where the scratch memory no longer is.
        if bound is None or bound.generation != self._scratch.generation:
            self._captured.pop(count, None)
            bound = self._bind(self._new_context(), count)
            # The first run may allocate, which a capture must not.
            self._execute(bound.context)
            self._memory.cuda.synchronize()
            bound.graph = self._memory.cuda.capture(lambda: self._execute(bound.context))
            self._captured[count] = bound
        return bound

    def _bind(self, context: Any, count: int) -> _Bound:
        """Set a context's shapes, scratch and addresses."""
        for tensor in self._tensors:
            if tensor.is_input:
                _require(
                    context.set_input_shape(tensor.name, tensor.at(count)),
                    f"shape {tensor.at(count)} of {tensor.name}",
                )
        scratch = self._scratch.at_least(int(context.update_device_memory_size_for_shapes()))
        context.set_device_memory(scratch.pointer, scratch.size)
        blocks = {t.name: self._memory.device.take(t.size(count)) for t in self._tensors}
        for name, block in blocks.items():
            _require(context.set_tensor_address(name, block.pointer), f"address of {name}")
        inputs = {t.name: blocks.pop(t.name) for t in self._tensors if t.is_input}
        return _Bound(context, inputs, blocks, self._scratch.generation)

    def _fill(
        self, bound: _Bound, inputs: Mapping[str, Sequence[NDArray[Any] | DeviceArray]]
    ) -> None:
        for tensor in self._tensors:
            if not tensor.is_input:
                continue
            block = bound.inputs[tensor.name]
            step = tensor.size(1)
            members = inputs[tensor.name]
            for i, member in enumerate(members):
                if tuple(member.shape) != tensor.shape[1:]:
                    raise EngineError(
                        f"{tensor.name}: shape {tuple(member.shape)}, but this engine takes "
                        f"{tensor.shape[1:]}; describe the image again"
                    )
                to = block.pointer + i * step
                if isinstance(member, DeviceArray):
                    self._memory.cuda.copy(to, member.pointer, step)
                elif i and member is members[i - 1]:  # the query of all pairs: sent once
                    self._memory.cuda.copy(to, to - step, step)
                else:
                    self._memory.upload(block, member.astype(tensor.dtype, copy=False), i * step)

    def _copies(self, bound: _Bound, count: int) -> dict[str, Block]:
        """The outputs of a graph, which its next launch writes over, in memory of their own."""
        copies = {}
        for tensor in self._tensors:
            if not tensor.is_input:
                size = tensor.size(count)
                copies[tensor.name] = self._memory.device.take(size)
                source = bound.outputs[tensor.name].pointer
                self._memory.cuda.copy(copies[tensor.name].pointer, source, size)
        return copies

    def _plain_context(self) -> Any:
        if self._context is None:
            self._context = self._new_context()
        return self._context

    def _new_context(self) -> Any:
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._engine.create_execution_context(strategy)
        if context is None:
            raise CudaMemoryError("no memory for TensorRT's execution context")
        return context

    def _execute(self, context: Any) -> None:
        _require(context.execute_async_v3(self._memory.cuda.stream), "the batch")


def _require(accepted: bool, what: str) -> None:
    """TensorRT answers what it does not take with False and a line in its log."""
    if not accepted:
        raise EngineError(f"TensorRT refused {what}: see its messages above")
