# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A whole `match` of the torch engine through the CUDA matcher's kernels, emulated on the CPU.

The tensors have the strides that a GPU gives them: there `pixel_shuffle` leaves channels first in
memory, which the CPU's does not.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from emulated_gpu import EmulatedDevice
from network_reference import TINY, random_network

from mast3r_ros.engines.base import DecodedPair, EngineInfo, Pair, to_numpy
from mast3r_ros.engines.torch_engine import TorchEngine
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.mast3r import frontend, matching, points
from mast3r_ros.frontends.mast3r.description import Mast3rDescription
from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.matching import gpu
from mast3r_ros.matching.cuda_bindings import GpuUnavailableError
from mast3r_ros.matching.gpu import GpuMatcher
from mast3r_ros.matching.nearest import Database
from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.network.prediction import LocalFeatures, PointMap


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
        raise AssertionError("a whole array comes down to the host")


class GpuEngine(TorchEngine):
    """The torch engine, whose arrays seem to be on a GPU."""

    def info(self) -> EngineInfo:
        return replace(super().info(), gpu=0)

    def points(self, decoded: Sequence[DecodedPair]) -> list[PointMap[Any]]:
        return [
            PointMap(OnGpu(some.points), OnGpu(some.confidence)) for some in super().points(decoded)
        ]

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


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> EmulatedDevice:
    return EmulatedDevice(tmp_path_factory.mktemp("emulated"))


@pytest.fixture
def matcher(device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch) -> GpuMatcher:
    matcher = GpuMatcher(0, Database, lambda number: device)
    for module in (matching, points, frontend):
        monkeypatch.setattr(module, "gpu_matcher", lambda number: matcher)
    return matcher


@pytest.fixture(scope="module")
def model() -> MAST3R:
    return random_network(replace(TINY, image_size=64))


def views(front_end: Mast3rFrontEnd) -> tuple[Mast3rDescription, Mast3rDescription]:
    """A keyframe with a depth sensor, and a query."""
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    camera = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
    depth = np.full((480, 640), 2.0, np.float32)
    return (
        front_end.describe(Frame(image, camera, depth=depth)),
        front_end.describe(Frame(np.roll(image, 40, axis=1), camera)),
    )


@pytest.mark.parametrize("scale", ["off", "rescale"])
def test_matching_takes_the_arrays_as_the_engine_leaves_them(
    matcher: GpuMatcher,
    device: EmulatedDevice,
    model: MAST3R,
    monkeypatch: pytest.MonkeyPatch,
    scale: str,
) -> None:
    """And no array comes to the host whole: points and confidences are read at the matches."""
    monkeypatch.setattr(torch.nn.functional, "pixel_shuffle", shuffled_as_on_a_gpu)
    options = Mast3rOptions(stride=4, scale_from_depth=scale)
    found = []
    for engine in (GpuEngine(model), TorchEngine(model)):
        front_end = Mast3rFrontEnd(options, engine)
        keyframe, query = views(front_end)
        device.downloaded = 0
        found.append(front_end.match([keyframe, keyframe], query))
        if isinstance(engine, GpuEngine) and scale == "off":  # of 3,072 pixels, a scale reads all
            # Whole, two pairs have two confidences, a point map and its confidence each.
            assert 0 < device.downloaded < 2 * 64 * 48 * 4 * (2 + 3 + 1) / 2
    assert not matcher.failure
    for ours, theirs in zip(*found, strict=True):
        assert len(ours) > 5
        np.testing.assert_array_equal(ours.reference_pixels, theirs.reference_pixels)
        np.testing.assert_array_equal(ours.query_pixels, theirs.query_pixels)
        np.testing.assert_array_equal(ours.reference_points, theirs.reference_points)


def test_the_matcher_is_compiled_at_warm_up(
    matcher: GpuMatcher, model: MAST3R, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the first image: NVRTC takes a second."""
    front_end = Mast3rFrontEnd(Mast3rOptions(stride=4), GpuEngine(model))
    front_end.warm_up()
    assert matcher._prepared == {model.config.descriptor_size}
    assert front_end.details["matching"] == "GPU 0"
    compared: list[int] = []
    monkeypatch.setattr(gpu, "_compare", lambda device, channels: compared.append(channels))
    keyframe, query = views(front_end)
    front_end.match([keyframe], query)
    assert not compared


def test_a_gpu_that_fails_is_named_in_the_diagnostics(
    matcher: GpuMatcher, model: MAST3R, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(number: int) -> EmulatedDevice:
        raise GpuUnavailableError("matching on the GPU: no NVRTC library")

    monkeypatch.setattr(matcher, "_open", missing)
    monkeypatch.setattr(OnGpu, "cpu", lambda self: self.tensor)  # so it must be now
    monkeypatch.setattr(matcher, "_fallback", lambda array: Database(to_numpy(array)))
    monkeypatch.setattr(matcher, "_to_host", to_numpy)
    front_end = Mast3rFrontEnd(Mast3rOptions(stride=4), GpuEngine(model))
    front_end.warm_up()
    assert "no NVRTC library" in front_end.details["matching"]
    keyframe, query = views(front_end)
    assert len(front_end.match([keyframe], query)[0]) > 5
