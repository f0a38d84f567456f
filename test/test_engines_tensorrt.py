# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The TensorRT engine against stand-ins: buffers, batches, stamps and refusals."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorrt_fake
from network_reference import TINY, random_network

from mast3r_ros.engines.base import Encoded, EngineError, EngineUnavailableError, to_numpy
from mast3r_ros.engines.cuda import DeviceArray
from mast3r_ros.engines.export import export
from mast3r_ros.engines.graphs import MANIFEST, Graphs
from mast3r_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from mast3r_ros.engines.tensorrt_build import Stamp, build, compile_graph
from mast3r_ros.engines.tensorrt_engine import TensorRtEngine, import_tensorrt

WIDE, TALL = (32, 48), (48, 32)
GPU = "Fake Orin (compute capability 8.7)"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    folder = tmp_path_factory.mktemp("graphs")
    config = replace(TINY, head="linear", decoder_depth=1, encoder_depth=1, rays=True)
    model = random_network(config)
    pairs = [(WIDE, WIDE), (TALL, WIDE)]
    return export(model, folder, [WIDE, TALL], pairs, "fp16", query_points=True, checkpoint="abc")


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> tensorrt_fake.FakeRuntime:
    return tensorrt_fake.install(monkeypatch)


@pytest.fixture
def built(exported: Graphs, runtime: tensorrt_fake.FakeRuntime, tmp_path: Path) -> Graphs:
    folder = tmp_path / "engines"
    shutil.copytree(exported.folder, folder)
    graphs = Graphs.load(folder)
    build(import_tensorrt(), graphs, batch=4, gpu=GPU)
    return graphs


def encoded(engine: TensorRtEngine, size: tuple[int, int], seed: int) -> Encoded:
    image = np.random.default_rng(seed).uniform(-1, 1, (1, 5, *size)).astype(np.float32)
    return Encoded(engine.encode(image)[0], size)


@pytest.mark.parametrize("cuda_graphs", [False, True])
@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_batches_of_mixed_sizes(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime, cuda_graphs: bool, count: int
) -> None:
    engine = TensorRtEngine(built.folder, batch=4, cuda_graphs=cuda_graphs)
    exact = OnnxRuntimeEngine(built.folder)
    references = [encoded(engine, WIDE if i % 3 else TALL, i) for i in range(count)]
    query = encoded(engine, WIDE, 100)
    for _ in range(2):  # the second time replays
        ours = engine.decode(references, query, query_points=True)
    theirs = exact.decode(references, query, query_points=True)
    assert len(ours) == count
    for a, b in zip(ours, theirs, strict=True):
        for view in ("reference", "query"):
            for name, expected in vars(getattr(b, view)).items():
                actual = to_numpy(getattr(getattr(a, view), name))
                np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)
    assert (runtime.launches > 0) == cuda_graphs


def test_one_batch_stays_on_the_gpu(built: Graphs, runtime: tensorrt_fake.FakeRuntime) -> None:
    engine = TensorRtEngine(built.folder)
    query = encoded(engine, WIDE, 0)
    (prediction,) = engine.decode([query], query)
    descriptors = prediction.query.descriptors
    assert isinstance(descriptors, DeviceArray)
    interface = descriptors.__cuda_array_interface__
    assert interface["shape"] == (*WIDE, 24)
    assert descriptors.get_device() == 0
    assert interface["typestr"] == "<f4"
    assert any(
        start <= interface["data"][0] < start + block.nbytes
        for start, block in runtime.memory.items()
    )
    with pytest.raises(IndexError):
        descriptors[WIDE[0]]
    allocated = len(runtime.memory)
    engine.decode([query] * 3, query)
    assert len(runtime.memory) == allocated
    del engine, prediction, descriptors
    assert not runtime.memory


def test_info(built: Graphs) -> None:
    engine = TensorRtEngine(built.folder, batch=8)
    engine.warm_up([WIDE])
    info = engine.info()
    assert (info.name, info.precision, info.device) == ("tensorrt 10.3.0", "fp16", GPU)
    assert (info.checkpoint, info.sizes) == ("abc", (WIDE, TALL))
    assert info.batch == 4  # what the engines were built for
    assert info.memory > 4 * np.prod(WIDE) * 24 * 4
    assert sorted(info.latency) == ["decode", "encode"]


def test_shapes_outside_are_named(built: Graphs) -> None:
    engine = TensorRtEngine(built.folder)
    with pytest.raises(EngineError, match=r"no graph for images of 64x64.*48x32, 32x48"):
        engine.encode(np.zeros((1, 5, 64, 64), np.float32))
    query = encoded(engine, TALL, 0)
    with pytest.raises(EngineError, match=r"32x48 with 32x48"):
        engine.decode([query], query)


def test_short_memory_halves_the_batch(built: Graphs, runtime: tensorrt_fake.FakeRuntime) -> None:
    whole = TensorRtEngine(built.folder).info().memory
    assert whole is not None
    runtime.capacity = whole // 2
    engine = TensorRtEngine(built.folder)
    info = engine.info()
    assert info.batch < 4
    assert "out of device memory: 4 references at once became 2" in info.notes
    query = encoded(engine, WIDE, 0)
    assert len(engine.decode([query] * 4, query)) == 4
    del engine
    runtime.capacity = 1000
    with pytest.raises(EngineUnavailableError, match="does not hold"):
        TensorRtEngine(built.folder)


def test_another_gpu_version_or_checkpoint_is_refused(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.name = "Fake 4090"
    with pytest.raises(EngineUnavailableError, match=r"gpu is 'Fake Orin.*Fake 4090"):
        TensorRtEngine(built.folder)
    runtime.name = "Fake Orin"
    monkeypatch.setattr(sys.modules["tensorrt"], "__version__", "11.4.0")
    with pytest.raises(EngineUnavailableError, match=r"tensorrt is '10.3.0', here it is '11.4.0'"):
        TensorRtEngine(built.folder)
    monkeypatch.setattr(sys.modules["tensorrt"], "__version__", "10.3.0")
    replace(built, checkpoint="other").save()
    with pytest.raises(EngineUnavailableError, match=r"checkpoint is 'abc', here it is 'other'"):
        TensorRtEngine(built.folder)


def test_missing_and_damaged_files_are_refused(built: Graphs) -> None:
    engine_file = built.encoder(WIDE, ".engine")
    plan = engine_file.read_bytes()
    engine_file.write_bytes(plan[:10])
    with pytest.raises(EngineUnavailableError, match="is damaged; build it again"):
        TensorRtEngine(built.folder)
    engine_file.unlink()
    with pytest.raises(EngineUnavailableError, match="is missing"):
        TensorRtEngine(built.folder)
    stamp = engine_file.with_name(engine_file.name + ".json")
    stamp.write_text(json.dumps({"gpu": GPU}))
    with pytest.raises(EngineUnavailableError, match=r"json is damaged"):
        TensorRtEngine(built.folder)
    stamp.unlink()
    with pytest.raises(EngineUnavailableError, match="mast3r_ros build-engine"):
        TensorRtEngine(built.folder)
    (built.folder / MANIFEST).unlink()
    with pytest.raises(EngineUnavailableError, match="mast3r_ros export"):
        TensorRtEngine(built.folder)


def test_missing_libraries_are_named(built: Graphs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(EngineUnavailableError, match="pip install cuda-bindings"):
        TensorRtEngine(built.folder)
    monkeypatch.setattr(sys.modules["tensorrt"], "__version__", "8.6.1")
    with pytest.raises(EngineUnavailableError, match=r"10\.3 is needed"):
        TensorRtEngine(built.folder)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(EngineUnavailableError, match="JetPack 6"):
        TensorRtEngine(built.folder)


def test_no_such_gpu(built: Graphs) -> None:
    with pytest.raises(EngineUnavailableError, match="no usable NVIDIA GPU 3"):
        TensorRtEngine(built.folder, device=3)


def test_the_build_reports_stamps_and_keeps_its_timing_cache(built: Graphs) -> None:
    names: list[str] = []
    files = build(import_tensorrt(), built, batch=2, gpu=GPU, report=names.append)
    assert names == [file.name for file in files]
    assert (built.folder / "timing.cache").read_bytes() == b"+" * 8  # four files, twice
    stamp = Stamp.load(files[0])
    assert (stamp.batch, stamp.gpu, stamp.tensorrt) == (2, GPU, "10.3.0")


def test_a_graph_that_is_not_accepted(
    runtime: tensorrt_fake.FakeRuntime, built: Graphs, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=r"does not accept .*none\.onnx: no such operator"):
        compile_graph(import_tensorrt(), tmp_path / "none.onnx", 1)
    shutil.copy(built.encoder(WIDE), tmp_path / "unbuildable.onnx")
    for data in built.folder.glob("*.data"):
        shutil.copy(data, tmp_path)
    with pytest.raises(EngineError, match=r"could not build unbuildable\.onnx"):
        compile_graph(import_tensorrt(), tmp_path / "unbuildable.onnx", 1)


def test_float32_builds_without_tf32(built: Graphs, runtime: tensorrt_fake.FakeRuntime) -> None:
    seen = []
    for exact in (True, False):
        path = built.decoder((WIDE, WIDE))
        compile_graph(import_tensorrt(), path, 1, exact=exact, configure=seen.append)
    assert [config.cleared for config in seen] == [["tf32"], []]
