# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""CUDA graphs of the torch engine, with a stand-in for torch's graphs: what is captured, and when.

It says nothing of a GPU's numbers or speed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from network_reference import TINY, random_network

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import Encoded
from mast3r_ros.engines.torch_engine import TorchEngine
from mast3r_ros.engines.torch_graphs import CudaGraphs

SIZE = ImageSize(48, 32)


class Recorder:
    """Takes the place of `torch.cuda`'s graphs: a replay computes again what was captured."""

    def __init__(self) -> None:
        self.pools: list[object] = []
        self.modes: list[str] = []
        self.counts: list[int] = []
        self.replays = 0

    @contextmanager
    def graph(self, graph: Any, pool: object, capture_error_mode: str) -> Iterator[None]:
        self.pools.append(pool)
        self.modes.append(capture_error_mode)
        yield


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()

    class Stream:
        def wait_stream(self, other: object) -> None: ...

    @contextmanager
    def stream(_: object) -> Iterator[None]:
        yield

    class Graph:
        def replay(self) -> None:
            recorder.replays += 1

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", recorder.graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    return recorder


@pytest.fixture
def engine(recorder: Recorder) -> TorchEngine:
    engine = TorchEngine(random_network(TINY), batch=8)
    engine._graphs = CudaGraphs()
    whole: Callable[..., Any] = engine._model.decode

    def counted(references: torch.Tensor, *arguments: Any) -> Any:
        recorder.counts.append(len(references))
        return whole(references, *arguments)

    engine._model.decode = counted  # type: ignore[method-assign]
    return engine


def test_all_batches_are_captured_in_warm_up(engine: TorchEngine, recorder: Recorder) -> None:
    """A live frame with 3, 5, 6 or 7 keyframes is padded: it never waits for a capture."""
    engine.warm_up([SIZE])
    captured = len(recorder.pools)
    assert captured == 1 + 4 + 4  # the encoder; decoder and points for 1, 2, 4 and 8
    assert sorted(set(recorder.counts)) == [1, 2, 4, 8]
    assert len(set(map(id, recorder.pools))) == 1  # one pool for all
    assert set(recorder.modes) == {"thread_local"}
    image = np.zeros((1, 3, *SIZE.shape), np.float32)
    encoded = Encoded(engine.encode(image)[0], SIZE)
    assert [engine.batch_for(count) for count in (1, 3, 5, 8, 9)] == [1, 4, 8, 8, 9]
    before = recorder.replays
    for count in (1, 3, 5, 6, 7, 8):
        decoded = engine.decode([(encoded, encoded)] * count)
        assert len(decoded) == len(engine.points(decoded)) == count
    assert len(recorder.pools) == captured
    assert recorder.replays == before + 2 * 6


def test_running_out_of_memory_drops_the_graphs(engine: TorchEngine, recorder: Recorder) -> None:
    engine.warm_up([SIZE])
    engine._release()
    assert engine._graphs is not None
    assert not engine._graphs._graphs
    captured = len(recorder.pools)
    engine.encode(np.zeros((1, 3, *SIZE.shape), np.float32))
    assert len(recorder.pools) == captured + 1
    assert recorder.pools[-1] is not recorder.pools[0]


def test_everything_runs_under_the_engines_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """With device cuda:1, streams and graphs are made on GPU 1, in any thread."""
    entered: list[torch.device] = []

    @contextmanager
    def device(chosen: torch.device) -> Iterator[None]:
        entered.append(chosen)
        yield

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    engine = TorchEngine(random_network(TINY))
    engine.device = torch.device("cuda:1")
    monkeypatch.setattr(engine, "_put", torch.from_numpy)
    engine.encode(np.zeros((1, 3, *SIZE.shape), np.float32))
    assert entered == [torch.device("cuda:1")]
