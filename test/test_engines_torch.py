# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The torch engine, and what all engines share."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from network_reference import TINY, random_network

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import (
    DecodedPair,
    Encoded,
    EngineError,
    EngineUnavailableError,
)
from mast3r_ros.engines.batched import Batches, Latency, captured_counts, padded_count, padded_total
from mast3r_ros.engines.torch_engine import TorchEngine

LANDSCAPE, PORTRAIT, WIDE = ImageSize(48, 32), ImageSize(32, 48), ImageSize(48, 24)


@pytest.fixture
def engine() -> TorchEngine:
    return TorchEngine(random_network(), batch=2, checkpoint="abc")


def encoded(engine: TorchEngine, *sizes: ImageSize) -> list[Encoded]:
    rng = np.random.default_rng(0)
    images = [rng.uniform(-1, 1, (1, 3, *size.shape)).astype(np.float32) for size in sizes]
    return [Encoded(engine.encode(im)[0], s) for im, s in zip(images, sizes, strict=True)]


def arrays(pair: DecodedPair) -> list[torch.Tensor]:
    return [*vars(pair.reference).values(), *vars(pair.query).values(), *pair.levels]


def test_any_mix_of_sizes_keeps_its_order(engine: TorchEngine) -> None:
    sizes = [LANDSCAPE, WIDE, PORTRAIT, LANDSCAPE, WIDE]
    *references, query = encoded(engine, *sizes, PORTRAIT)
    pairs = [(reference, query) for reference in references]
    pairs.append((query, references[1]))
    decoded = engine.decode(pairs)
    for pair, found, points in zip(pairs, decoded, engine.points(decoded), strict=True):
        (alone,) = engine.decode([pair])
        assert found.reference.descriptors.shape[:2] == pair[0].size.shape
        assert found.query.descriptors.shape[:2] == pair[1].size.shape
        assert found.encoded is pair[0]
        (expected,) = engine.points([alone])
        for ours, theirs in zip(
            [*arrays(found), *vars(points).values()],
            [*arrays(alone), *vars(expected).values()],
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_results_belong_to_the_caller(engine: TorchEngine) -> None:
    reference, query = encoded(engine, LANDSCAPE, LANDSCAPE)
    (first,) = engine.decode([(reference, query)])
    before = [array.clone() for array in arrays(first)]
    engine.decode([(query, reference)] * 3)
    for array, kept in zip(arrays(first), before, strict=True):
        torch.testing.assert_close(array, kept, rtol=0, atol=0)


def test_rays_are_two_more_channels() -> None:
    engine = TorchEngine(random_network(replace(TINY, rays=True)))
    engine.warm_up([LANDSCAPE])
    with pytest.raises(ValueError, match=r"\(B, 5, H, W\) is needed"):
        engine.encode(np.zeros((1, 3, *LANDSCAPE.shape), np.float32))


def test_info_tells_what_runs(engine: TorchEngine) -> None:
    engine.warm_up([LANDSCAPE])
    info = engine.info()
    assert (info.name, info.precision, info.device) == ("torch", "fp32", "cpu")
    assert (info.checkpoint, info.sizes, info.batch) == ("abc", None, 2)
    assert info.memory == 4 * sum(p.numel() for p in random_network().parameters())
    assert sorted(info.latency) == ["decode", "encode", "points"]
    assert all(seconds > 0 for seconds in info.latency.values())


def test_running_out_of_memory_halves_the_batch(engine: TorchEngine) -> None:
    whole = engine._model.decode

    def limited(references: torch.Tensor, *args: object) -> object:
        if len(references) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return whole(references, *args)

    engine._model.decode = limited
    *references, query = encoded(engine, LANDSCAPE, LANDSCAPE, LANDSCAPE, LANDSCAPE)
    assert len(engine.decode([(reference, query) for reference in references])) == 3
    info = engine.info()
    assert info.batch == 1
    assert info.notes == ("out of device memory: 2 pairs at once became 1",)


def test_no_memory_for_one_pair_is_an_error(engine: TorchEngine) -> None:
    def nothing(*_: object) -> object:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    reference, query = encoded(engine, LANDSCAPE, LANDSCAPE)
    engine._model.decode = nothing
    with pytest.raises(EngineError, match="does not hold one pair"):
        engine.decode([(reference, query)] * 2)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def broken(_: object) -> list:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Batches(4, lambda e: isinstance(e, MemoryError)).run([1, 2], broken)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_cuda_is_refused() -> None:
    with pytest.raises(EngineUnavailableError, match=r"sees no CUDA GPU.*device: cpu"):
        TorchEngine(random_network(), device="cuda")


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineUnavailableError, match="device 'gpu': write auto, cpu, cuda"):
        TorchEngine(random_network(), device="gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(EngineUnavailableError, match=r"cuda:3: this machine has 1 CUDA GPU"):
        TorchEngine(random_network(), device="cuda:3")


def test_half_precision_is_close() -> None:
    engines = [TorchEngine(random_network(), precision=kind) for kind in ("bf16", "fp32")]
    pairs = [tuple(encoded(engine, LANDSCAPE, PORTRAIT)) for engine in engines]
    half, exact = (engine.decode([pair])[0] for engine, pair in zip(engines, pairs, strict=True))
    assert {array.dtype for array in arrays(half)} == {torch.float32}
    assert (half.reference.descriptors * exact.reference.descriptors).sum(-1).min() > 0.99


def test_global_switches_are_left_as_found(engine: TorchEngine) -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with pytest.raises(ValueError, match="multiples"):
        engine.encode(np.zeros((1, 3, 30, 48), np.float32))
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before


def test_threads_take_turns(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service matches keyframes while the worker localizes images."""
    inside, own = [], engine._encode

    def one_at_a_time(images: np.ndarray) -> np.ndarray:
        inside.append(1)
        time.sleep(0.05)
        assert len(inside) == 1
        inside.pop()
        return own(images)

    monkeypatch.setattr(engine, "_encode", one_at_a_time)
    image = np.zeros((1, 3, 32, 48), np.float32)
    with ThreadPoolExecutor(2) as threads:
        tokens = list(threads.map(engine.encode, [image] * 4))

    assert all((one == tokens[0]).all() for one in tokens)


def test_latency_is_a_running_mean() -> None:
    latency = Latency()
    for _ in range(2):
        with latency.stage("encode"):
            pass
    assert 0 < latency.seconds["encode"] < 1


def test_captured_batches_are_powers_of_two_and_the_largest() -> None:
    assert captured_counts(1) == [1]
    assert captured_counts(8) == [1, 2, 4, 8]
    assert captured_counts(6) == [1, 2, 4, 6]
    assert [padded_count(count, 6) for count in range(1, 7)] == [1, 2, 4, 4, 6, 6]
    assert [padded_total(count, 6) for count in (1, 3, 6, 7, 9)] == [1, 4, 6, 7, 10]
