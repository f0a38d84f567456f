# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The network in PyTorch: float32 on a CPU, half precision on a GPU. NOT RUN ON A GPU YET.

On a GPU each batch may be captured once as a CUDA graph, which takes the launch of some 1,500
kernels a pair off the CPU; the results stay on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import (
    DecodedPair,
    Encoded,
    EngineInfo,
    EngineUnavailableError,
    Pair,
    Precision,
)
from mast3r_ros.engines.batched import (
    BatchedEngine,
    SizePair,
    as_pairs,
    as_point_maps,
    captured_counts,
    padded_count,
    padded_total,
)
from mast3r_ros.engines.torch_graphs import CudaGraphs
from mast3r_ros.engines.torch_rotary import fuse_rotary
from mast3r_ros.network.heads import DptHead
from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.network.prediction import PointMap

_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class TorchEngine(BatchedEngine):
    """MASt3R in PyTorch.

    Args:
        model: the network, float32; it is moved and converted in place.
        device: "cpu", "cuda" or "cuda:N".
        precision: of products and convolutions, see `MAST3R.set_precision`.
        batch: most pairs decoded at once.
        cuda_graphs: capture batches of 1, 2, 4, 8 ... pairs as CUDA graphs (on a GPU alone).
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
        cuda_graphs: bool = False,
        checkpoint: str = "",
    ) -> None:
        super().__init__(model.config, batch, lambda e: isinstance(e, torch.cuda.OutOfMemoryError))
        self.device = _device(device)
        self.precision: Precision = precision
        self.checkpoint = checkpoint
        try:
            self._model = model.set_precision(_TYPES[precision]).to(self.device)
        except torch.cuda.OutOfMemoryError as error:
            raise EngineUnavailableError(
                f"engine torch on {device}: its memory does not hold the network in {precision}; "
                "end other programs, or use fp16. `mast3r_ros doctor` shows what fits"
            ) from error
        for module in model.modules():
            if isinstance(module, DptHead):
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        on_gpu = self.device.type == "cuda"
        self._graphs = CudaGraphs() if on_gpu and cuda_graphs else None
        if on_gpu:
            fuse_rotary(model, self.device)

    def batch_for(self, count: int) -> int:
        """How many pairs take no longer than `count`: those that CUDA graphs are padded to."""
        return padded_total(count, self._batches.size) if self._graphs is not None else count

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
            gpu=self.device.index,
        )

    def _encode(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Tokens are float16 on a GPU."""
        (tokens,) = self._run("encode", self._tokens_of, [self._put(images)])
        return tokens.cpu().numpy()

    def _tokens_of(self, images: Tensor) -> list[Tensor]:
        tokens = self._model.encode(images)
        return [tokens.half() if self.device.type == "cuda" else tokens]

    def _decode(self, sizes: SizePair, pairs: Sequence[Pair]) -> list[DecodedPair]:
        count = self._padded(len(pairs))
        sides = [self._stacked([pair[side] for pair in pairs], count) for side in (0, 1)]
        return as_pairs(self._run(("decode", sizes), partial(self._features, sizes), sides), pairs)

    def _features(self, sizes: SizePair, references: Tensor, queries: Tensor) -> list[Tensor]:
        decoded = self._model.decode(references, queries, *sizes)
        levels = [decoded.levels[i - 1] for i in self.config.point_levels if i]
        views = (decoded.reference, decoded.query)
        return [array for view in views for array in vars(view).values()] + levels

    def _points(self, size: ImageSize, decoded: Sequence[DecodedPair]) -> list[PointMap[Tensor]]:
        padded = [*decoded, *[decoded[-1]] * (self._padded(len(decoded)) - len(decoded))]
        levels = [torch.stack(level) for level in zip(*(d.levels for d in padded), strict=True)]
        if 0 in self.config.point_levels:
            levels.insert(0, self._stacked([d.encoded for d in padded], len(padded)))
        work = partial(self._point_maps, size)
        return as_point_maps(self._run(("points", size), work, levels), len(decoded))

    def both_point_maps(
        self, pairs: Sequence[Pair]
    ) -> list[tuple[PointMap[Tensor], PointMap[Tensor]]]:
        """See `MapsBothViews`; CUDA graphs have no part in it."""
        with self._alone("both point maps"):
            return self._by_size(pairs, lambda pair: (pair[0].size, pair[1].size), self._both_maps)

    def _both_maps(
        self, sizes: SizePair, pairs: Sequence[Pair]
    ) -> list[tuple[PointMap[Tensor], PointMap[Tensor]]]:
        first, second = (
            self._stacked([pair[side] for pair in pairs], len(pairs)) for side in (0, 1)
        )
        own, others = self._model.decoder_levels(first, second, *sizes)
        views = ((first, own, False), (second, others, True))
        maps = []
        for (tokens, levels, of_query), size in zip(views, sizes, strict=True):
            taken = self._model.point_levels(tokens, levels)
            found = list(self._model.points(taken, size, of_query))
            maps.append(as_point_maps(found, len(pairs)))
        return list(zip(*maps, strict=True))

    def _point_maps(self, size: ImageSize, *levels: Tensor) -> list[Tensor]:
        return list(self._model.points(levels, size))

    def _run(
        self, key: Any, work: Callable[..., list[Tensor]], inputs: list[Tensor]
    ) -> list[Tensor]:
        return work(*inputs) if self._graphs is None else self._graphs.run(key, work, inputs)

    def _padded(self, count: int) -> int:
        return count if self._graphs is None else padded_count(count, self._batches.size)

    def _usual_counts(self) -> Sequence[int]:
        counts = super()._usual_counts()
        return counts if self._graphs is None else captured_counts(self._batches.size)

    def _stacked(self, views: Sequence[Encoded], count: int) -> Tensor:
        """(count, N, width) tokens: one view for all is sent to the device once; the last fills."""
        if all(view.tokens is views[0].tokens for view in views):
            return self._put(views[0].tokens)[None].expand(count, -1, -1)
        tokens = [view.tokens for view in views]
        return self._put(np.stack([*tokens, *[tokens[-1]] * (count - len(tokens))]))

    def _put(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type == "cpu":
            return tensor
        # Pinned memory is read while the CPU goes on; torch keeps it until the copy is done.
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _release(self) -> None:
        if self._graphs is not None:
            self._graphs.clear()
        torch.cuda.empty_cache()

    @contextmanager
    def _running(self, stage: str) -> Iterator[None]:
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        before = matmul.allow_tf32, cudnn.allow_tf32
        # What is float32 is so because half precision, or TF32, is not enough.
        matmul.allow_tf32 = cudnn.allow_tf32 = False
        on_gpu = self.device.type == "cuda"
        try:
            with torch.inference_mode(), super()._running(stage), _current(self.device):
                yield
                if on_gpu:
                    torch.cuda.synchronize(self.device)
        finally:
            matmul.allow_tf32, cudnn.allow_tf32 = before


@contextmanager
def _current(device: torch.device) -> Iterator[None]:
    """Streams and graphs are made on the current device of the thread: make it the engine's."""
    if device.type == "cpu":
        yield
        return
    with torch.cuda.device(device):
        yield


def _device(text: str) -> torch.device:
    try:
        device = torch.device(text)
    except RuntimeError as error:
        raise EngineUnavailableError(f"device {text!r}: write auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise EngineUnavailableError(
                f"engine torch on {text}: PyTorch {torch.__version__} sees no CUDA GPU; "
                "install its CUDA build and the driver, or use device: cpu"
            )
        if (device.index or 0) >= torch.cuda.device_count():
            raise EngineUnavailableError(
                f"engine torch on {text}: this machine has {torch.cuda.device_count()} CUDA GPU(s)"
            )
        if device.index is None:  # the current one of this thread: others may have another
            device = torch.device("cuda", torch.cuda.current_device())
        try:
            (torch.zeros(1, device=device) + 1).item()
        except RuntimeError as error:  # "no kernel image is available", most often
            reason = str(error).partition("\n")[0]
            raise EngineUnavailableError(
                f"engine torch on {text}: PyTorch {torch.__version__} cannot compute there "
                f"({reason}); install its build for this GPU (a Jetson has its own), or use "
                "device: cpu"
            ) from error
    return device
