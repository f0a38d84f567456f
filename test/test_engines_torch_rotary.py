# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The fused kernel of rotary positions, emulated on the CPU, against PyTorch."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from emulated_gpu import EmulatedDevice
from network_reference import TINY, random_network

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines import torch_rotary
from mast3r_ros.engines.base import Encoded
from mast3r_ros.engines.torch_engine import TorchEngine
from mast3r_ros.engines.torch_rotary import FusedRotary
from mast3r_ros.matching.cuda_bindings import GpuUnavailableError
from mast3r_ros.network.rope import rotary_tables, rotate_both

WIDE, TALL = ImageSize(48, 32), ImageSize(32, 40)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> EmulatedDevice:
    return EmulatedDevice(tmp_path_factory.mktemp("emulated"))


@pytest.fixture
def fused(device: EmulatedDevice) -> FusedRotary:
    return FusedRotary(device, lambda: 7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_queries_and_keys_are_turned_in_place_with_one_rounding(
    fused: FusedRotary, dtype: torch.dtype
) -> None:
    """Of views of one product, as self-attention has them, and of grids of two sizes."""
    torch.manual_seed(0)
    grids = (3, 5), (4, 2)
    qkv = [torch.randn(2, rows * columns, 3 * 4 * 16).to(dtype) for rows, columns in grids]
    query, key = (x.chunk(3, dim=-1)[i].unflatten(-1, (4, 16)) for i, x in enumerate(qkv))
    first, second = (rotary_tables(grid, 16, 100.0, CPU, dtype) for grid in grids)
    untouched = [x.clone() for x in qkv]
    expected = rotate_both(query.double(), key.double(), first.query, second.key)
    found = fused(query, key, first.query, second.key)
    eps = torch.finfo(dtype).eps
    for mine, theirs in zip(found, expected, strict=True):
        # At the most half a unit of the result, and what float32 adds up to.
        limit = eps / 2 * theirs.abs() + 1e-6
        assert ((mine.double() - theirs).abs() <= limit).all()
    for i, (now, before) in enumerate(zip(qkv, untouched, strict=True)):
        parts = zip(now.chunk(3, dim=-1), before.chunk(3, dim=-1), strict=True)
        changed = [not torch.equal(a, b) for a, b in parts]
        assert changed == [i == 0, i == 1, False]


def test_bfloat16_rounds_to_even_as_pytorch(fused: FusedRotary) -> None:
    """Tables of ones and zeros: what is read is written."""
    values = torch.tensor([1.0, -0.0, 3e38, torch.inf, -torch.inf, torch.nan, 1e-40, 2.0])
    for dtype in (torch.float16, torch.bfloat16):
        x = values.to(dtype).reshape(1, 1, 1, 8).clone()
        table = rotary_tables((1, 1), 8, 100.0, CPU, dtype).key  # position 0 turns nothing
        found, _ = fused(x.clone(), x.clone(), table, table)
        exact = rotate_both(x, x, table, table)[0]
        torch.testing.assert_close(found, exact, rtol=0, atol=0, equal_nan=True)


def test_a_network_computes_the_same_with_it(device: EmulatedDevice, fused: FusedRotary) -> None:
    model = random_network(TINY)
    engines = TorchEngine(model), TorchEngine(random_network(TINY))
    torch_rotary.use(model, fused)
    rng = np.random.default_rng(0)
    results = []
    for engine in engines:
        device.launches.clear()
        images = [rng.uniform(-1, 1, (1, 3, *size.shape)) for size in (WIDE, TALL)]
        rng = np.random.default_rng(0)
        views = [
            Encoded(engine.encode(image.astype(np.float32))[0], size)
            for image, size in zip(images, (WIDE, TALL), strict=True)
        ]
        results.append(engine.decode([(views[0], views[1])] * 2))
        config = engine.config
        blocks = 2 * config.encoder_depth + 2 * 2 * config.decoder_depth
        assert device.launches.count("rotate") == (blocks if engine is engines[0] else 0)
    for mine, theirs in zip(*results, strict=True):
        for name in ("descriptors", "confidence"):
            for view in ("reference", "query"):
                a, b = (getattr(getattr(pair, view), name) for pair in (mine, theirs))
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_layouts_that_it_cannot_turn_are_refused(fused: FusedRotary) -> None:
    table = rotary_tables((2, 2), 8, 100.0, CPU).key
    x = torch.zeros(1, 4, 8, 2).transpose(2, 3)
    with pytest.raises(ValueError, match="give contiguous heads"):
        fused(x, x, table, table)
    half = torch.zeros(1, 4, 2, 8, dtype=torch.float16)
    with pytest.raises(ValueError, match=r"torch\.float16 .* tables of torch\.float32"):
        fused(half, half, table, table)


def test_where_the_kernel_fails_pytorch_turns(
    device: EmulatedDevice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(EmulatedDevice):
        def launch(self, name: str, *arguments: Any, **others: Any) -> None: ...

    def missing(number: int) -> EmulatedDevice:
        raise GpuUnavailableError("no NVRTC library")

    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda number: type("Stream", (), {"cuda_stream": 7})
    )
    model = random_network(TINY)
    for open_device, fits, message in (
        (lambda number: device, True, ""),
        (lambda number: Wrong(device.folder), False, "differ from PyTorch's"),
        (missing, False, "no NVRTC library"),
    ):
        caplog.clear()
        monkeypatch.setattr(torch_rotary, "DriverDevice", open_device)
        with caplog.at_level(logging.WARNING):
            assert torch_rotary.fuse_rotary(model, CPU) == fits
        assert message in caplog.text
        torch_rotary.use(model, rotate_both)  # type: ignore[arg-type]
