# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The torch engine, and what all engines share."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from network_reference import TINY, random_network

from mast3r_ros.engines.base import (
    Batches,
    Encoded,
    EngineError,
    EngineUnavailableError,
    Latency,
    parse_size,
    size_name,
)
from mast3r_ros.engines.torch_engine import TorchEngine

LANDSCAPE, PORTRAIT, WIDE = (32, 48), (48, 32), (24, 48)


@pytest.fixture
def engine() -> TorchEngine:
    return TorchEngine(random_network(), batch=2, checkpoint="abc")


def encoded(engine: TorchEngine, *sizes: tuple[int, int]) -> list[Encoded]:
    rng = np.random.default_rng(0)
    images = [rng.uniform(-1, 1, (1, 3, *size)).astype(np.float32) for size in sizes]
    return [Encoded(engine.encode(im)[0], s) for im, s in zip(images, sizes, strict=True)]


def test_any_mix_of_sizes_keeps_its_order(engine: TorchEngine) -> None:
    sizes = [LANDSCAPE, WIDE, PORTRAIT, LANDSCAPE, WIDE]
    *references, query = encoded(engine, *sizes, PORTRAIT)
    predictions = engine.decode(references, query, query_points=True)
    for reference, prediction in zip(references, predictions, strict=True):
        alone = engine.decode([reference], query, query_points=True)[0]
        assert prediction.reference.descriptors.shape[:2] == reference.size
        for view in ("reference", "query"):
            for name, expected in vars(getattr(alone, view)).items():
                actual = getattr(getattr(prediction, view), name)
                torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)


def test_query_points_only_where_asked_for(engine: TorchEngine) -> None:
    reference, query = encoded(engine, LANDSCAPE, LANDSCAPE)
    prediction = engine.decode([reference], query)[0]
    assert prediction.query.points is None
    assert prediction.reference.points.shape == (*LANDSCAPE, 3)


def test_rays_are_two_more_channels() -> None:
    engine = TorchEngine(random_network(replace(TINY, rays=True)))
    engine.warm_up([LANDSCAPE])
    with pytest.raises(ValueError, match=r"\(B, 5, H, W\) is needed"):
        engine.encode(np.zeros((1, 3, *LANDSCAPE), np.float32))


def test_info_tells_what_runs(engine: TorchEngine) -> None:
    engine.warm_up([LANDSCAPE])
    info = engine.info()
    assert (info.name, info.precision, info.device) == ("torch", "fp32", "cpu")
    assert (info.checkpoint, info.sizes, info.batch) == ("abc", None, 2)
    assert info.memory == 4 * sum(p.numel() for p in random_network().parameters())
    assert sorted(info.latency) == ["decode", "encode"]
    assert all(seconds > 0 for seconds in info.latency.values())


def test_running_out_of_memory_halves_the_batch(engine: TorchEngine) -> None:
    whole = engine._model.decode

    def limited(references: torch.Tensor, *args: object) -> object:
        if len(references) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return whole(references, *args)

    engine._model.decode = limited
    *references, query = encoded(engine, LANDSCAPE, LANDSCAPE, LANDSCAPE, LANDSCAPE)
    assert len(engine.decode(references, query)) == 3
    info = engine.info()
    assert info.batch == 1
    assert info.notes == ("out of device memory: 2 references at once became 1",)


def test_no_memory_for_one_pair_is_an_error(engine: TorchEngine) -> None:
    def nothing(*_: object) -> object:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    reference, query = encoded(engine, LANDSCAPE, LANDSCAPE)
    engine._model.decode = nothing
    with pytest.raises(EngineError, match="does not hold one pair"):
        engine.decode([reference, reference], query)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def broken(_: object) -> list:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Batches(4, lambda e: isinstance(e, MemoryError)).run([1, 2], broken)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_cuda_is_refused() -> None:
    with pytest.raises(EngineUnavailableError, match=r"sees no CUDA GPU.*device: cpu"):
        TorchEngine(random_network(), device="cuda")


def test_half_precision_converts_the_trunk_alone() -> None:
    engine = TorchEngine(random_network(), precision="bf16")
    kinds = {key: value.dtype for key, value in engine._model.state_dict().items()}
    half = {key for key, dtype in kinds.items() if dtype == torch.bfloat16}
    assert "enc_blocks.0.attn.qkv.weight" in half
    assert "dec_blocks2.3.mlp.fc2.bias" in half
    assert not any("norm" in key or "head" in key for key in half)
    reference, query = encoded(engine, LANDSCAPE, PORTRAIT)
    exact = TorchEngine(random_network()).decode([reference], query)[0]
    close = engine.decode([reference], query)[0]
    cosine = (exact.reference.descriptors * close.reference.descriptors).sum(-1)
    assert cosine.min() > 0.99


def test_global_switches_are_left_as_found(engine: TorchEngine) -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(ValueError, match="multiples"):
        engine.encode(np.zeros((1, 3, 30, 48), np.float32))
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before


def test_latency_is_a_running_mean() -> None:
    latency = Latency()
    for _ in range(2):
        with latency.stage("encode"):
            pass
    assert 0 < latency.seconds["encode"] < 1


def test_sizes_are_written_as_people_do() -> None:
    assert size_name((384, 512)) == "512x384"
    assert parse_size("512x384") == (384, 512)
    for text in ("512", "axb", "512x-3"):
        with pytest.raises(ValueError, match="WIDTHxHEIGHT"):
            parse_size(text)
    assert TINY.grid((32, 48)) == (4, 6)
