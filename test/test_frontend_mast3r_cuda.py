# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A whole `match` of the torch engine through the CUDA matcher's kernels, emulated on the CPU.

The tensors have the strides that a GPU gives them: there `pixel_shuffle` leaves channels first in
memory, which the CPU's does not.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from network_reference import TINY, random_network
from test_matching_cuda import EmulatedDevice

from mast3r_ros.engines.base import DecodedPair, Pair
from mast3r_ros.engines.torch_engine import TorchEngine
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.mast3r import matching
from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.matching.gpu import GpuMatcher
from mast3r_ros.matching.nearest import Database
from mast3r_ros.network.prediction import LocalFeatures


class OnGpu:
    """A tensor that says it is on a GPU, with its own strides."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        self.shape = tuple(tensor.shape)
        size = tensor.element_size()
        strides = None if tensor.is_contiguous() else tuple(size * s for s in tensor.stride())
        self.__cuda_array_interface__ = {
            "shape": self.shape,
            "typestr": "<f4",
            "data": (tensor.data_ptr(), False),
            "strides": strides,
            "version": 3,
        }

    def get_device(self) -> int:
        return 0

    def cpu(self) -> torch.Tensor:
        return self.tensor


class GpuEngine(TorchEngine):
    """The torch engine, whose local features seem to be on a GPU."""

    def decode(self, pairs: Sequence[Pair]) -> list[DecodedPair]:
        def moved(view: LocalFeatures[Any]) -> LocalFeatures[OnGpu]:
            return LocalFeatures(OnGpu(view.descriptors), OnGpu(view.confidence))

        return [
            replace(pair, reference=moved(pair.reference), query=moved(pair.query))
            for pair in super().decode(pairs)
        ]


def shuffled_as_on_a_gpu(x: torch.Tensor, factor: int) -> torch.Tensor:
    """`pixel_shuffle` as CUDA runs it: (B, C, H, W), contiguous."""
    batch, channels, rows, columns = x.shape
    parts = x.reshape(batch, channels // factor**2, factor, factor, rows, columns)
    moved = parts.permute(0, 1, 4, 2, 5, 3).contiguous()
    return moved.view(batch, -1, rows * factor, columns * factor)


def test_matching_takes_the_arrays_as_the_engine_leaves_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.functional, "pixel_shuffle", shuffled_as_on_a_gpu)
    model = random_network(replace(TINY, image_size=64))
    device = EmulatedDevice(tmp_path)
    matcher = GpuMatcher(0, Database, lambda number: device)
    monkeypatch.setattr(matching, "gpu_matcher", lambda number: matcher)
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    options = Mast3rOptions(stride=4)
    found = []
    for engine in (GpuEngine(model), TorchEngine(model)):
        front_end = Mast3rFrontEnd(options, engine)
        keyframe = front_end.describe(Frame(image))
        query = front_end.describe(Frame(np.roll(image, 40, axis=1)))
        found.append(front_end.match([keyframe, keyframe], query))
    assert not matcher.failure
    for ours, theirs in zip(*found, strict=True):
        assert len(ours) > 5
        np.testing.assert_array_equal(ours.reference_pixels, theirs.reference_pixels)
        np.testing.assert_array_equal(ours.query_pixels, theirs.query_pixels)
        np.testing.assert_array_equal(ours.reference_points, theirs.reference_points)
