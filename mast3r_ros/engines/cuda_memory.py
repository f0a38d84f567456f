# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Memory of a GPU and pinned memory of its host, kept for reuse; arrays in it.

Whoever holds an array owns its memory. It goes back to its pool with the last reference, and is
given out again for work on the same stream, which runs after all that used it before.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.engines.cuda import Cuda, CudaMemoryError


class Block:
    """A piece of memory, given back to its pool with the object."""

    def __init__(self, pool: Pool, pointer: int, size: int) -> None:
        self._pool = pool
        self.pointer = pointer
        self.size = size

    def __del__(self) -> None:
        self._pool.give_back(self.pointer, self.size)


class Pool:
    """Blocks of memory by size, allocated where none is free.

    A free block of up to twice the size is taken too: batches of 5 to 8 pairs use the same memory.
    May be used by several threads: Python collects objects in any of them.

    Args:
        allocate: bytes to a pointer.
        free: what frees a pointer, without raising.
    """

    def __init__(self, allocate: Callable[[int], int], free: Callable[[int], Any]) -> None:
        self._allocate = allocate
        self._free = free
        self._blocks: dict[int, list[int]] = {}
        self._closed = False
        self._lock = threading.RLock()  # a collection may come while it is held
        self.held = 0  # bytes, free or in use

    def take(self, size: int) -> Block:
        """A block of at least `size` bytes.

        Raises:
            CudaMemoryError: the memory does not hold it, not even with all free blocks released.
        """
        with self._lock:
            fitting = [s for s, free in self._blocks.items() if free and size <= s <= 2 * size]
            if fitting:
                best = min(fitting)
                return Block(self, self._blocks[best].pop(), best)
            try:
                pointer = self._allocate(size)
            except CudaMemoryError:
                self.release()
                pointer = self._allocate(size)
            self.held += size
            return Block(self, pointer, size)

    def give_back(self, pointer: int, size: int) -> None:
        """Keep a block for the next that asks, or free it where the pool is closed."""
        with self._lock:
            if self._closed:
                self._free(pointer)
            else:
                self._blocks.setdefault(size, []).append(pointer)

    def release(self) -> None:
        """Free all blocks that nobody holds."""
        with self._lock:
            blocks, self._blocks = self._blocks, {}
            for size, pointers in blocks.items():
                for pointer in pointers:
                    self._free(pointer)  # waits for the work that uses it
                self.held -= size * len(pointers)

    def close(self) -> None:
        """Free all blocks, those in use as soon as they are given back."""
        self._closed = True
        self.release()


class Memory:
    """The memory of one `Cuda`."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        runtime = cuda.runtime
        self.device = Pool(lambda n: int(cuda.call(runtime.cudaMalloc, n)), runtime.cudaFree)
        self.pinned = Pool(
            lambda n: int(cuda.call(runtime.cudaMallocHost, n)), runtime.cudaFreeHost
        )
        self._uploading: list[Block] = []

    def upload(self, block: Block, array: NDArray[Any], offset: int = 0) -> None:
        """Copy an array into a block on the GPU, `offset` bytes from its start.

        The array may be freed at once: the copy is from pinned memory, kept until `settle`.
        """
        if offset + array.nbytes > block.size:
            raise ValueError(f"{array.nbytes} bytes at {offset} do not fit {block.size}")
        staging = self.pinned.take(array.nbytes)
        _view(staging, array.shape, array.dtype)[...] = array
        self.cuda.upload(block.pointer + offset, staging.pointer, array.nbytes)
        self._uploading.append(staging)

    def settle(self) -> None:
        """Wait for the stream; what was uploaded has arrived."""
        self.cuda.synchronize()
        self._uploading.clear()

    def release(self) -> None:
        """Free what nobody holds."""
        self.settle()
        self.device.release()
        self.pinned.release()

    def __del__(self) -> None:
        self._uploading.clear()
        self.device.close()
        self.pinned.close()


class DeviceArray:
    """A C-contiguous array on the GPU, as other libraries read it (`__cuda_array_interface__`)."""

    def __init__(
        self,
        memory: Memory,
        block: Block,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        offset: int = 0,
    ) -> None:
        self._memory = memory
        self._block = block
        self._offset = offset
        self.shape = shape
        self.dtype = dtype

    @property
    def pointer(self) -> int:
        """Where it starts."""
        return self._block.pointer + self._offset

    @property
    def nbytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of the protocol."""
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer, False),
            "version": 3,
            "strides": None,
            "stream": self._memory.cuda.stream or 1,
        }

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> DeviceArray:
        """One of the leading dimension, without a copy."""
        if not 0 <= index < len(self):
            raise IndexError(f"{index} of {len(self)}")
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        offset = self._offset + index * size
        return DeviceArray(self._memory, self._block, self.shape[1:], self.dtype, offset)

    def get_device(self) -> int:
        """Number of the GPU; of the same name as a torch tensor's."""
        return self._memory.cuda.number

    def to_host(self) -> NDArray[Any]:
        """A copy on the host, in pinned memory that goes back to its pool with the array."""
        cuda = self._memory.cuda
        with cuda.current():
            block = self._memory.pinned.take(self.nbytes)
            cuda.download(block.pointer, self.pointer, self.nbytes)
            self._memory.settle()
        return _view(block, self.shape, self.dtype)


def _view(block: Block, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Host memory as an array that keeps it."""
    size = math.prod(shape) * dtype.itemsize
    raw = (ctypes.c_byte * size).from_address(block.pointer)
    raw.block = block  # type: ignore[attr-defined]
    array: NDArray[Any] = np.frombuffer(memoryview(raw), dtype).reshape(shape)
    return array
