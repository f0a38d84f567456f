# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The TensorRT engine against stand-ins: buffers, batches, graphs, devices, stamps and refusals."""

import gc
import json
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorrt_fake
from network_reference import TINY, random_network

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines import tensorrt_build
from mast3r_ros.engines.base import (
    DecodedPair,
    Encoded,
    EngineError,
    EngineUnavailableError,
    to_numpy,
)
from mast3r_ros.engines.building import require_gpu
from mast3r_ros.engines.cuda import Cuda, CudaMemoryError
from mast3r_ros.engines.cuda_memory import DeviceArray, Memory
from mast3r_ros.engines.export import export
from mast3r_ros.engines.graphs import MANIFEST, Graphs
from mast3r_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from mast3r_ros.engines.tensorrt_build import TIMING_CACHE, Stamp, build, compile_graph
from mast3r_ros.engines.tensorrt_engine import TensorRtEngine, import_tensorrt
from mast3r_ros.engines.tensorrt_program import Scratch
from mast3r_ros.network.prediction import PointMap

pytestmark = pytest.mark.usefixtures("quick_export")
WIDE, TALL = ImageSize(48, 32), ImageSize(32, 48)
GPU = "Fake Orin (compute capability 8.7)"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    folder = tmp_path_factory.mktemp("graphs")
    config = replace(TINY, head="linear", decoder_depth=1, encoder_depth=1, rays=True)
    model = random_network(config)
    pairs = [(WIDE, WIDE), (TALL, WIDE)]
    return export(model, folder, [WIDE, TALL], pairs, "fp16", checkpoint="abc")


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> tensorrt_fake.FakeRuntime:
    return tensorrt_fake.install(monkeypatch, devices=2)


def build_all(graphs: Graphs, batch: int = 4) -> Graphs:
    for source in graphs.files():
        build(import_tensorrt(), graphs, source, batch, GPU)
    return graphs


@pytest.fixture
def built(exported: Graphs, runtime: tensorrt_fake.FakeRuntime, tmp_path: Path) -> Graphs:
    folder = tmp_path / "engines"
    shutil.copytree(exported.folder, folder)
    return build_all(Graphs.load(folder))


def encoded(engine: TensorRtEngine, size: ImageSize, seed: int) -> Encoded:
    image = np.random.default_rng(seed).uniform(-1, 1, (1, 5, *size.shape)).astype(np.float32)
    return Encoded(engine.encode(image)[0], size)


def values(pair: DecodedPair, points: PointMap) -> list[np.ndarray]:
    """All that was computed of a pair, copied to the host."""
    arrays = [vars(some).values() for some in (pair.reference, pair.query, points)]
    return [np.array(to_numpy(array)) for some in arrays for array in some]


def assert_same(ours: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    for actual, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_batches_of_mixed_sizes(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime, cuda_graphs: bool
) -> None:
    """One context for each captured batch: the stand-in refuses to change a captured one."""
    engine = TensorRtEngine(built.folder, batch=4, cuda_graphs=cuda_graphs)
    exact = OnnxRuntimeEngine(built.folder)
    assert engine.batch_for(3) == (4 if cuda_graphs else 3)
    query = encoded(engine, WIDE, 100)
    references = [encoded(engine, WIDE if i % 3 else TALL, i) for i in range(9)]
    expected = exact.decode([(reference, query) for reference in references])
    all_points = exact.points(expected)
    for count in (1, 3, 9, 3, 1):  # later ones replay what was captured
        pairs = [(reference, query) for reference in references[:count]]
        decoded = engine.decode(pairs)
        for i, found in enumerate(zip(decoded, engine.points(decoded), strict=True)):
            assert_same(values(*found), values(expected[i], all_points[i]))
    assert (runtime.launches > 0) == cuda_graphs
    del engine, decoded, found
    gc.collect()
    assert not runtime.graphs, "graphs that nobody destroyed"
    assert not runtime.memory
    assert not runtime.pinned


@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_results_belong_to_the_caller(built: Graphs, cuda_graphs: bool) -> None:
    engine = TensorRtEngine(built.folder, batch=2, cuda_graphs=cuda_graphs)
    views = [encoded(engine, WIDE, i) for i in range(4)]
    decoded = engine.decode([(view, views[0]) for view in views])  # two batches
    kept = [values(d, p) for d, p in zip(decoded, engine.points(decoded), strict=True)]
    engine.decode([(views[0], view) for view in views])
    engine.encode(np.zeros((2, 5, *WIDE.shape), np.float32))
    again = [values(d, p) for d, p in zip(decoded, engine.points(decoded), strict=True)]
    for before, after in zip(kept, again, strict=True):
        assert_same(after, before)


def test_arrays_stay_on_the_gpu(built: Graphs, runtime: tensorrt_fake.FakeRuntime) -> None:
    engine = TensorRtEngine(built.folder)
    query = encoded(engine, WIDE, 0)
    (pair,) = engine.decode([(query, query)])
    descriptors = pair.query.descriptors
    assert isinstance(descriptors, DeviceArray)
    interface = descriptors.__cuda_array_interface__
    assert interface["shape"] == (*WIDE.shape, 24)
    assert interface["strides"] is None  # C-contiguous
    assert interface["typestr"] == "<f4"
    assert descriptors.get_device() == 0
    runtime.block_at(interface["data"][0], runtime.memory)
    with pytest.raises(IndexError):
        descriptors[WIDE.height]
    host = descriptors.to_host()
    runtime.block_at(host.ctypes.data, runtime.pinned)
    del pair, descriptors
    allocated = len(runtime.memory)
    for _ in range(3):
        engine.points(engine.decode([(query, query)]))
    assert len(runtime.memory) <= allocated + 4  # the point maps; then memory is used again


def test_another_gpu_than_the_first(built: Graphs, runtime: tensorrt_fake.FakeRuntime) -> None:
    """Streams, memory and graphs are the engine's GPU's, in whichever thread it works."""
    engine = TensorRtEngine(built.folder, device=1, cuda_graphs=True)
    assert runtime.device == 0  # left as it was
    found: list[DecodedPair] = []

    def work() -> None:
        query = encoded(engine, WIDE, 0)
        found.extend(engine.decode([(query, query)] * 3))
        engine.points(found)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(found) == 3
    assert found[0].query.descriptors.get_device() == 1
    assert np.isfinite(found[2].query.descriptors.to_host()).all()
    assert {runtime.owners[pointer] for pointer in runtime.memory} == {1}


def test_info(built: Graphs) -> None:
    engine = TensorRtEngine(built.folder, batch=8)
    before = engine.info().memory
    assert before is not None
    engine.warm_up([WIDE])
    info = engine.info()
    assert (info.name, info.precision, info.device) == ("tensorrt 10.3.0", "fp16", GPU)
    assert (info.checkpoint, info.sizes) == ("abc", (WIDE, TALL))
    assert info.batch == 4  # what the engines were built for
    assert info.memory > before + 4 * np.prod(WIDE) * 24 * 4
    assert sorted(info.latency) == ["decode", "encode", "points"]


def test_engines_are_loaded_when_they_are_needed(
    built: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = TensorRtEngine._deserialize
    monkeypatch.setattr(
        TensorRtEngine,
        "_deserialize",
        lambda self, path: loaded.append(path.name) or load(self, path),
    )
    engine = TensorRtEngine(built.folder)
    assert loaded == ["encoder_48x32.engine"]
    query = encoded(engine, WIDE, 0)
    decoded = engine.decode([(query, query)])
    assert loaded[1:] == ["decoder_48x32_48x32.engine"]
    engine.points(decoded)
    engine.points(decoded)
    assert loaded[2:] == ["points_48x32.engine"]


def test_shapes_outside_are_named(built: Graphs) -> None:
    engine = TensorRtEngine(built.folder)
    with pytest.raises(EngineError, match=r"no graph for images of 64x64.*48x32, 32x48"):
        engine.encode(np.zeros((1, 5, 64, 64), np.float32))
    query = encoded(engine, TALL, 0)
    with pytest.raises(EngineError, match=r"32x48 with 32x48"):
        engine.decode([(query, query)])


@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_short_memory_halves_the_batch_and_frees_what_the_larger_one_held(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime, cuda_graphs: bool
) -> None:
    def run(batch: int) -> tuple[int, int]:
        """The memory that four pairs take, and the batch that was left."""
        engine = TensorRtEngine(built.folder, batch=batch, cuda_graphs=cuda_graphs)
        query = encoded(engine, WIDE, 0)
        decoded = engine.decode([(query, query)] * 4)
        assert all(np.isfinite(to_numpy(pair.query.descriptors)).all() for pair in decoded)
        info = engine.info()
        assert len(info.notes) == (info.batch < batch)
        return sum(block.nbytes for block in runtime.memory.values()), info.batch

    (small, _), (large, _) = run(2), run(4)
    gc.collect()
    assert not runtime.memory
    assert small < large
    runtime.capacity = small  # not a byte more than the halved batch needs
    used, batch = run(4)
    assert batch == 2
    assert used <= small
    runtime.capacity = small // 4
    with pytest.raises(EngineError, match="does not hold"):
        run(4)


def test_a_lack_of_memory_is_not_taken_for_damage(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime
) -> None:
    runtime.capacity = 10
    with pytest.raises(EngineUnavailableError, match=r"memory does not hold encoder.*doctor"):
        TensorRtEngine(built.folder)


def test_an_engine_of_another_gpu_version_or_graph_is_refused(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime
) -> None:
    runtime.name = "Fake Thor"
    with pytest.raises(EngineUnavailableError, match=r"built for something else: gpu is 'Fake Or"):
        TensorRtEngine(built.folder)
    runtime.name = "Fake Orin"
    sys.modules["tensorrt"].__version__ = "11.0.1"  # type: ignore[attr-defined]
    with pytest.raises(EngineUnavailableError, match=r"tensorrt is '10\.3\.0', here it is"):
        TensorRtEngine(built.folder)
    sys.modules["tensorrt"].__version__ = "10.3.0"  # type: ignore[attr-defined]
    manifest = built.folder / MANIFEST
    manifest.write_text(manifest.read_text().replace("abc", "def"))
    with pytest.raises(EngineUnavailableError, match="checkpoint is 'abc', here it is 'def'"):
        TensorRtEngine(built.folder)


def test_missing_and_damaged_files_are_refused(built: Graphs) -> None:
    engine_file = built.encoder(WIDE, ".engine")
    plan = engine_file.read_bytes()
    engine_file.write_bytes(plan[:10])
    with pytest.raises(EngineUnavailableError, match=r"is damaged \(magic tag.*build it again"):
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
    with pytest.raises(EngineUnavailableError, match=r"mast3r_ros\[cuda13\].*mast3r_ros\[cuda12\]"):
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


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("set_tensor_address", "address of"),
        ("set_input_shape", r"shape \(1, 24, 32\) of"),
        ("execute_async_v3", "the batch"),
    ],
)
def test_what_tensorrt_refuses_is_an_error(
    built: Graphs, monkeypatch: pytest.MonkeyPatch, call: str, what: str
) -> None:
    engine = TensorRtEngine(built.folder)
    query = encoded(engine, WIDE, 0)
    taken = getattr(tensorrt_fake.FakeContext, call)
    monkeypatch.setattr(
        tensorrt_fake.FakeContext, call, lambda *arguments: taken(*arguments) and False
    )
    with pytest.raises(EngineError, match=f"refused {what}"):
        engine.decode([(query, query)])


def test_scratch_that_grows_makes_graphs_stale(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime
) -> None:
    engine = TensorRtEngine(built.folder, cuda_graphs=True)
    query = encoded(engine, WIDE, 0)
    first = engine.decode([(query, query)])
    assert isinstance(engine._scratch, Scratch)
    generation = engine._scratch.generation
    engine.decode([(query, query)] * 4)  # needs more
    assert engine._scratch.generation > generation
    again = engine.decode([(query, query)])  # captured again; the old one would compute nowhere
    for a, b in zip(vars(first[0].query).values(), vars(again[0].query).values(), strict=True):
        np.testing.assert_array_equal(a.to_host(), b.to_host())


def test_the_build_stamps_and_keeps_its_timing_cache(built: Graphs) -> None:
    assert (built.folder / TIMING_CACHE).read_bytes() == b"+" * 6  # six files
    for source in built.files():
        stamp = Stamp.load(build(import_tensorrt(), built, source, 2, GPU))
        assert (stamp.batch, stamp.gpu, stamp.tensorrt) == (2, GPU, "10.3.0")
    assert (built.folder / TIMING_CACHE).read_bytes() == b"+" * 12


@pytest.mark.parametrize("cache", [b"unreadable", b"of another version"])
def test_a_timing_cache_that_does_not_fit_is_made_anew(built: Graphs, cache: bytes) -> None:
    _, timing = compile_graph(import_tensorrt(), built.encoder(WIDE), 1, cache)
    assert timing == b"+"


def test_a_graph_that_is_not_accepted(built: Graphs, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"does not accept .*none\.onnx: no such operator"):
        compile_graph(import_tensorrt(), tmp_path / "none.onnx", 1)
    shutil.copy(built.encoder(WIDE), tmp_path / "unbuildable.onnx")
    for data in built.folder.glob("*.data"):
        shutil.copy(data, tmp_path)
    with pytest.raises(EngineError, match=r"could not build unbuildable\.onnx"):
        compile_graph(import_tensorrt(), tmp_path / "unbuildable.onnx", 1)


def test_what_a_build_is_configured_with(built: Graphs) -> None:
    seen = []
    path = built.decoder((WIDE, WIDE))
    for workspace, usual in ((None, 1), (5_000_000, 3)):
        compile_graph(
            import_tensorrt(),
            path,
            4,
            workspace=workspace,
            usual=usual,
            configure=seen.append,
        )
    assert [config.cleared for config in seen] == [["tf32"]] * 2
    assert [config.workspace for config in seen] == [None, 5_000_000]
    assert [(config.usual, config.batch) for config in seen] == [(1, 4), (3, 4)]


def test_engines_are_tuned_for_the_batches_that_are_usual(
    built: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query is decoded with its first keyframes alone; points are computed for two."""
    usual: list[int] = []

    def compiled(trt: Any, path: Path, batch: int, *arguments: Any, **options: Any) -> Any:
        usual.append(options["usual"])
        return b"", b""

    monkeypatch.setattr(tensorrt_build, "compile_graph", compiled)
    for source in (built.decoder((WIDE, WIDE)), built.points(WIDE)):
        build(import_tensorrt(), built, source, 8, GPU)
    assert usual == [4, 2]


@pytest.mark.parametrize(("offered", "has"), [(12060, "offers CUDA 12.6"), (0, "is missing")])
def test_an_older_driver_than_the_bindings_is_named(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime, offered: int, has: str
) -> None:
    runtime.driver_version = offered
    with pytest.raises(EngineUnavailableError, match=rf"CUDA 13.0 need .*{has}.*\[cuda12\]"):
        TensorRtEngine(built.folder)


def test_warm_up_leaves_no_stale_graph(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoder needs more scratch memory than the encoder, whose graph is then stale."""
    engine = TensorRtEngine(built.folder, cuda_graphs=True)
    engine.warm_up([WIDE])
    monkeypatch.setattr(engine._cuda, "capture", lambda work: pytest.fail("captured again"))
    query = encoded(engine, WIDE, 0)
    for count in (1, 2, 3, 4):
        engine.points(engine.decode([(query, query)] * count))


def test_the_query_is_sent_to_the_gpu_once(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime
) -> None:
    engine = TensorRtEngine(built.folder, batch=4)
    query = encoded(engine, WIDE, 0)
    references = [encoded(engine, WIDE, i) for i in range(1, 5)]
    runtime.copied[1] = 0
    decoded = engine.decode([(reference, query) for reference in references])
    assert runtime.copied[1] == 5 * query.tokens.nbytes
    expected = OnnxRuntimeEngine(built.folder).decode([(r, query) for r in references])
    for ours, theirs in zip(decoded, expected, strict=True):
        actual = to_numpy(ours.query.descriptors)
        np.testing.assert_allclose(actual, theirs.query.descriptors, rtol=1e-3, atol=1e-4)


def test_memory_of_a_larger_batch_serves_a_smaller_one(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime
) -> None:
    """Batches of 2 to 4 pairs do not each keep their own."""
    engine = TensorRtEngine(built.folder, batch=4)
    query = encoded(engine, WIDE, 0)
    for _ in range(2):
        engine.decode([(query, query)] * 4)
    before = engine.info().memory
    engine.decode([(query, query)] * 3)
    engine.decode([(query, query)] * 2)
    assert engine.info().memory == before


def test_tokens_of_another_size_are_refused(built: Graphs) -> None:
    engine = TensorRtEngine(built.folder)
    query = encoded(engine, WIDE, 0)
    short = Encoded(query.tokens[:-1], WIDE)
    with pytest.raises(EngineError, match=r"query_tokens: shape .*describe the image again"):
        engine.decode([(query, short)])


def test_a_capture_that_fails_tells_why(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TensorRtEngine(built.folder, cuda_graphs=True)

    def execute(self: tensorrt_fake.FakeContext, stream: int) -> bool:
        return runtime.recording is None

    monkeypatch.setattr(tensorrt_fake.FakeContext, "execute_async_v3", execute)
    with pytest.raises(EngineError, match="refused the batch"):
        encoded(engine, WIDE, 0)
    assert runtime.recording is None  # the stream is as it was


def test_full_memory_is_first_freed(runtime: tensorrt_fake.FakeRuntime) -> None:
    memory = Memory(Cuda())
    runtime.capacity = 1000
    del (blocks := [memory.device.take(400), memory.device.take(400)])[:]
    assert memory.device.take(900).size == 900
    with pytest.raises(CudaMemoryError):
        memory.device.take(2000)
    assert blocks == []


def test_the_real_bindings_take_what_they_are_given(
    built: Graphs, runtime: tensorrt_fake.FakeRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call of a query, with its number and types of arguments, made to cuda-bindings too."""
    monkeypatch.delitem(sys.modules, "cuda")
    monkeypatch.delitem(sys.modules, "cuda.bindings")
    real = pytest.importorskip("cuda.bindings.runtime")
    tensorrt_fake.install_runtime(monkeypatch, runtime)
    if real.cudaDriverGetVersion()[1]:
        pytest.skip("there is a driver here, which would do what it is told")
    called: set[str] = set()

    def both(name: str, fake: Any) -> Any:
        kinds = {"cudaGraphInstantiate": "cudaGraph_t", "cudaGraphDestroy": "cudaGraph_t"}
        handle = getattr(real, kinds.get(name, "cudaGraphExec_t"))

        def call(*arguments: Any) -> Any:
            called.add(name)
            getattr(real, name)(
                *(handle(1) if isinstance(a, list | SimpleNamespace) else a for a in arguments)
            )
            return fake(*arguments)

        call.__name__ = name
        return call

    with pytest.raises(TypeError):
        real.cudaMalloc("many")
    functions = [
        name for name in dir(runtime) if name.startswith("cuda") and callable(getattr(real, name))
    ]
    functions = [name for name in functions if not isinstance(getattr(real, name), type)]
    for name in functions:
        monkeypatch.setattr(runtime, name, both(name, getattr(runtime, name)))
    monkeypatch.setattr(runtime, "cudaMemcpyKind", real.cudaMemcpyKind)
    monkeypatch.setattr(runtime, "cudaStreamCaptureMode", real.cudaStreamCaptureMode)
    engine = TensorRtEngine(built.folder, cuda_graphs=True)
    query = encoded(engine, WIDE, 0)
    decoded = engine.decode([(query, query)])
    to_numpy(engine.points(decoded)[0].points)
    engine._release()
    assert called == set(functions)


def test_a_rotary_layer_needs_a_tensorrt_that_has_it(runtime: tensorrt_fake.FakeRuntime) -> None:
    assert require_gpu(0) == GPU
    with pytest.raises(EngineUnavailableError, match=r"TensorRT 10\.3\.0 has none, 10\.15 has"):
        require_gpu(0, rotary_layer=True)
    sys.modules["tensorrt"].__version__ = "10.15.1"  # type: ignore[attr-defined]
    assert require_gpu(0, rotary_layer=True) == GPU
