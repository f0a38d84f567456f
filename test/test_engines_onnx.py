# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Exported graphs: their nodes, and equality with torch in ONNX Runtime."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from network_reference import TINY, random_network

from mast3r_ros.engines.base import Encoded, EngineError, EngineUnavailableError
from mast3r_ros.engines.export import OPSET, export
from mast3r_ros.engines.graphs import MANIFEST, Graphs, pairs_of
from mast3r_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from mast3r_ros.engines.torch_engine import TorchEngine
from mast3r_ros.network import MAST3RConfig

LANDSCAPE, PORTRAIT = (64, 96), (96, 64)
SMALL = replace(TINY, patch_size=16, rays=True)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    folder = tmp_path_factory.mktemp("graphs")
    pairs = [(LANDSCAPE, LANDSCAPE), (PORTRAIT, LANDSCAPE)]
    sizes = [LANDSCAPE, PORTRAIT]
    model = random_network(SMALL)
    return export(model, folder, sizes, pairs, query_points=True, checkpoint="abc")


@pytest.fixture(scope="module")
def engine(graphs: Graphs) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(graphs.folder, batch=2)


def image(size: tuple[int, int], seed: int, channels: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (1, channels, *size)).astype(np.float32)


def assert_close(ours: np.ndarray, theirs: np.ndarray | torch.Tensor) -> None:
    """Within 1e-4 of the largest value."""
    theirs = np.asarray(theirs)
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_no_graph_computes_with_shapes(graphs: Graphs) -> None:
    assert len(graphs.files()) == 4
    for path in graphs.files():
        model = onnx.load(path)
        onnx.checker.check_model(path)
        kinds = {node.op_type for node in model.graph.node}
        assert not kinds & {"Shape", "If", "Loop", "Attention"}
        assert {"LayerNormalization", "MatMul"} <= kinds
        assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
        assert not any(node.metadata_props for node in model.graph.node)
        first = [v.type.tensor_type.shape.dim[0] for v in (*model.graph.input, *model.graph.output)]
        batch = [dim.dim_param or dim.dim_value for dim in first]
        assert set(batch) == ({1} if path.name.startswith("encoder") else {"batch"})


def test_equal_to_torch_in_every_orientation(engine: OnnxRuntimeEngine) -> None:
    exact = TorchEngine(random_network(SMALL))
    sizes = [LANDSCAPE, PORTRAIT, LANDSCAPE, LANDSCAPE, LANDSCAPE]
    references = []
    for seed, size in enumerate(sizes):
        tokens = engine.encode(image(size, seed))
        assert_close(tokens, exact.encode(image(size, seed)))
        references.append(Encoded(tokens[0], size))
    query = references[3]
    ours = engine.decode(references, query, query_points=True)
    theirs = exact.decode(references, query, query_points=True)
    for a, b in zip(ours, theirs, strict=True):
        for view in ("reference", "query"):
            for name, expected in vars(getattr(b, view)).items():
                assert_close(getattr(getattr(a, view), name), expected)


@pytest.mark.slow
def test_a_full_size_block(tmp_path: Path) -> None:
    config = MAST3RConfig(encoder_depth=1, decoder_depth=1, head="linear", local_features_ratio=1)
    size = (384, 512)
    export(random_network(config), tmp_path, [size], [(size, size)])
    engine, exact = OnnxRuntimeEngine(tmp_path), TorchEngine(random_network(config))
    seen = image(size, 0, channels=3)
    tokens = engine.encode(seen)
    assert tokens.shape == (1, 768, 1024)
    assert_close(tokens, exact.encode(seen))
    encoded = Encoded(tokens[0], size)
    (a,), (b,) = engine.decode([encoded], encoded), exact.decode([encoded], encoded)
    assert_close(a.query.descriptors, b.query.descriptors)
    assert_close(a.reference.points, b.reference.points)


def test_half_precision_is_in_the_types(tmp_path: Path) -> None:
    graphs = export(random_network(SMALL), tmp_path, [LANDSCAPE], [(LANDSCAPE, LANDSCAPE)], "fp16")
    assert graphs.outputs[4:] == ("query_descriptors", "query_descriptor_confidence")
    for path in graphs.files():
        model = onnx.shape_inference.infer_shapes(onnx.load(path))
        kinds = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
        kinds |= {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
        kinds |= {v.name: v.data_type for v in model.graph.initializer}
        half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
        inputs = {
            kind: {kinds[node.input[0]] for node in model.graph.node if node.op_type == kind}
            for kind in ("LayerNormalization", "Softmax", "Conv")
        }
        assert inputs["LayerNormalization"] == {full}
        assert inputs["Softmax"] == {half}
        assert inputs["Conv"] == ({half} if path.name.startswith("encoder") else {full})
    engine, exact = OnnxRuntimeEngine(tmp_path), TorchEngine(random_network(SMALL))
    tokens = engine.encode(image(LANDSCAPE, 0))
    assert tokens.dtype == np.float16
    encoded = Encoded(tokens[0], LANDSCAPE)
    (a,), (b,) = engine.decode([encoded], encoded), exact.decode([encoded], encoded)
    assert a.query.points is None
    cosine = (a.query.descriptors * b.query.descriptors.numpy()).sum(-1)
    assert cosine.min() > 0.999
    with pytest.raises(EngineError, match="--query-points"):
        engine.decode([encoded], encoded, query_points=True)


def test_info_and_warm_up(engine: OnnxRuntimeEngine) -> None:
    engine.warm_up([LANDSCAPE])
    info = engine.info()
    assert (info.name, info.precision, info.checkpoint) == ("onnxruntime", "fp32", "abc")
    assert (info.sizes, info.batch) == ((LANDSCAPE, PORTRAIT), 2)
    assert sorted(info.latency) == ["decode", "encode"]


def test_running_out_of_memory_halves_the_batch(
    graphs: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = OnnxRuntimeEngine(graphs.folder, batch=4)
    whole = engine._decode

    def limited(pair: object, query: object, references: list) -> list:
        if len(references) > 2:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 1")
        return whole(pair, query, references)

    monkeypatch.setattr(engine, "_decode", limited)
    encoded = Encoded(engine.encode(image(LANDSCAPE, 0))[0], LANDSCAPE)
    assert len(engine.decode([encoded] * 5, encoded)) == 5
    assert engine.info().batch == 2
    assert "4 references at once became 2" in engine.info().notes[0]


def test_sizes_that_were_not_exported_are_named(engine: OnnxRuntimeEngine) -> None:
    with pytest.raises(EngineError, match=r"no graph for images of 64x64.*96x64, 64x96"):
        engine.encode(np.zeros((1, 5, 64, 64), np.float32))
    tokens = np.zeros((24, 32), np.float32)
    with pytest.raises(EngineError, match=r"no graph for images of 96x64 with 64x96"):
        engine.decode([Encoded(tokens, LANDSCAPE)], Encoded(tokens, PORTRAIT))


def test_missing_and_damaged_files_are_refused(graphs: Graphs, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="mast3r_ros export"):
        OnnxRuntimeEngine(tmp_path)
    manifest = (graphs.folder / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(EngineUnavailableError, match=r"cannot load .*encoder_96x64\.onnx"):
        OnnxRuntimeEngine(tmp_path)
    for damaged in ("{", "[]", manifest.replace('"fp32"', '"int4"')):
        (tmp_path / MANIFEST).write_text(damaged)
        with pytest.raises(EngineUnavailableError, match=r"damaged|unknown"):
            Graphs.load(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_provider_that_is_not_there_is_refused(graphs: Graphs) -> None:
    with pytest.raises(EngineUnavailableError, match="onnxruntime-gpu"):
        OnnxRuntimeEngine(graphs.folder, provider="cuda")


def test_pairs() -> None:
    assert pairs_of([LANDSCAPE, PORTRAIT], mixed=False) == (
        (LANDSCAPE, LANDSCAPE),
        (PORTRAIT, PORTRAIT),
    )
    assert len(pairs_of([LANDSCAPE, PORTRAIT], mixed=True)) == 4
