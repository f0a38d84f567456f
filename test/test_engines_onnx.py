# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Exported graphs: their nodes, and equality with torch in ONNX Runtime."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from network_reference import EXPORTED, random_network

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import Encoded, EngineError, EngineUnavailableError, Precision
from mast3r_ros.engines.export import OPSET, export
from mast3r_ros.engines.graphs import MANIFEST, Graphs, pairs_of
from mast3r_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from mast3r_ros.engines.torch_engine import TorchEngine
from mast3r_ros.network import MAST3RConfig

pytestmark = pytest.mark.usefixtures("quick_export")
LANDSCAPE, PORTRAIT = ImageSize(96, 64), ImageSize(64, 96)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Graphs:
    folder = tmp_path_factory.mktemp("graphs")
    sizes = [LANDSCAPE, PORTRAIT]
    model = random_network(EXPORTED)
    # One decoder, whose export takes the most time; that of two sizes is in the tests below.
    return export(model, folder, sizes, [(LANDSCAPE, LANDSCAPE)], checkpoint="abc")


@pytest.fixture(scope="module")
def engine(graphs: Graphs) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine(graphs.folder, batch=2)


def image(size: ImageSize, seed: int, channels: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (1, channels, *size.shape)).astype(np.float32)


def assert_close(ours: np.ndarray, theirs: np.ndarray | torch.Tensor) -> None:
    """Within 1e-4 of the largest value."""
    theirs = np.asarray(theirs)
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_no_graph_computes_with_shapes(graphs: Graphs) -> None:
    assert len(graphs.files()) == 5
    for path in graphs.files():
        model = onnx.load(path)
        onnx.checker.check_model(path)
        kinds = {node.op_type for node in model.graph.node}
        assert not kinds & {"Shape", "If", "Loop", "Attention"}
        assert {"Conv" if path.name.startswith("points") else "LayerNormalization"} <= kinds
        assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
        assert not any(node.metadata_props for node in model.graph.node)
        first = [v.type.tensor_type.shape.dim[0] for v in (*model.graph.input, *model.graph.output)]
        batch = [dim.dim_param or dim.dim_value for dim in first]
        assert set(batch) == ({1} if path.name.startswith("encoder") else {"batch"})


def test_equal_to_torch_in_every_orientation(engine: OnnxRuntimeEngine) -> None:
    exact = TorchEngine(random_network(EXPORTED))
    views = []
    for seed, size in enumerate([LANDSCAPE, LANDSCAPE, LANDSCAPE, PORTRAIT]):
        tokens = engine.encode(image(size, seed))
        assert_close(tokens, exact.encode(image(size, seed)))
        views.append(Encoded(tokens[0], size))
    *references, portrait = views
    pairs = [(reference, references[1]) for reference in references]
    ours, theirs = engine.decode(pairs), exact.decode(pairs)
    for a, b in zip(ours, theirs, strict=True):
        for view in ("reference", "query"):
            for name, expected in vars(getattr(b, view)).items():
                assert_close(getattr(getattr(a, view), name), expected)
    turned = exact.decode([(portrait, portrait)])
    ours, theirs = [*ours, *turned], [*theirs, *turned]
    for a, b in zip(engine.points(ours), exact.points(theirs), strict=True):
        assert_close(a.points, b.points)
        assert_close(a.confidence, b.confidence)


@pytest.mark.slow
def test_a_full_size_block(tmp_path: Path) -> None:
    config = MAST3RConfig(encoder_depth=1, decoder_depth=1, head="linear", local_features_ratio=1)
    size = ImageSize(512, 384)
    model = random_network(config)
    export(model, tmp_path, [size], [(size, size)])
    engine, exact = OnnxRuntimeEngine(tmp_path), TorchEngine(model)
    seen = image(size, 0, channels=3)
    tokens = engine.encode(seen)
    assert tokens.shape == (1, 768, 1024)
    assert_close(tokens, exact.encode(seen))
    encoded = Encoded(tokens[0], size)
    ours, theirs = (one.decode([(encoded, encoded)]) for one in (engine, exact))
    assert_close(ours[0].query.descriptors, theirs[0].query.descriptors)
    assert_close(engine.points(ours)[0].points, exact.points(theirs)[0].points)


def test_half_precision_is_in_the_types(half_graphs: Callable[[str], Graphs]) -> None:
    graphs = half_graphs("fp16")
    assert graphs.decoder_outputs[:4] == (
        *("reference_descriptors", "reference_confidence"),
        *("query_descriptors", "query_confidence"),
    )
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    for path in graphs.files():
        model = onnx.shape_inference.infer_shapes(onnx.load(path))
        kinds = {v.name: v.type.tensor_type.elem_type for v in model.graph.value_info}
        kinds |= {v.name: v.type.tensor_type.elem_type for v in model.graph.input}
        kinds |= {v.name: v.data_type for v in model.graph.initializer}
        inputs = {
            kind: [kinds[node.input[0]] for node in model.graph.node if node.op_type == kind]
            for kind in ("LayerNormalization", "Softmax", "Gemm", "MatMul", "Conv", "Expm1")
        }
        assert set(inputs["LayerNormalization"]) <= {full}
        for kind in ("Softmax", "Gemm", "MatMul"):
            assert set(inputs[kind]) <= {half}, (path, kind)
        if path.name.startswith("points"):
            assert inputs["Conv"].count(full) == 1  # the last one, before the exponentials
            assert inputs["Conv"][-1] == full
    engine, exact = OnnxRuntimeEngine(graphs.folder), TorchEngine(random_network(EXPORTED))
    tokens = engine.encode(image(LANDSCAPE, 0))
    assert tokens.dtype == np.float16
    turned = np.asarray(exact.encode(image(PORTRAIT, 0)), np.float16)
    pair = (Encoded(tokens[0], LANDSCAPE), Encoded(turned[0], PORTRAIT))
    ours, theirs = (one.decode([pair]) for one in (engine, exact))
    cosine = (ours[0].query.descriptors * theirs[0].query.descriptors.numpy()).sum(-1)
    assert cosine.min() > 0.999
    close, true = engine.points(ours)[0].points, exact.points(theirs)[0].points.numpy()
    error = np.linalg.norm(close - true, axis=-1) / np.linalg.norm(true, axis=-1)
    assert np.median(error) < 0.01


def test_info_and_warm_up(engine: OnnxRuntimeEngine) -> None:
    engine.warm_up([LANDSCAPE])
    info = engine.info()
    assert (info.name, info.precision, info.checkpoint) == ("onnxruntime", "fp32", "abc")
    assert (info.sizes, info.batch) == ((LANDSCAPE, PORTRAIT), 2)
    assert sorted(info.latency) == ["decode", "encode", "points"]


def test_running_out_of_memory_halves_the_batch(
    graphs: Graphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = OnnxRuntimeEngine(graphs.folder, batch=4)
    whole = engine._decode

    def limited(sizes: object, pairs: list) -> list:
        if len(pairs) > 2:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 1")
        return whole(sizes, pairs)

    monkeypatch.setattr(engine, "_decode", limited)
    encoded = Encoded(engine.encode(image(LANDSCAPE, 0))[0], LANDSCAPE)
    assert len(engine.decode([(encoded, encoded)] * 5)) == 5
    assert engine.info().batch == 2
    assert "4 pairs at once became 2" in engine.info().notes[0]


def test_sizes_that_were_not_exported_are_named(engine: OnnxRuntimeEngine) -> None:
    with pytest.raises(EngineError, match=r"no graph for images of 64x64.*96x64, 64x96"):
        engine.encode(np.zeros((1, 5, 64, 64), np.float32))
    tokens = np.zeros((24, 32), np.float32)
    with pytest.raises(EngineError, match=r"no graph for images of 96x64 with 64x96"):
        engine.decode([(Encoded(tokens, LANDSCAPE), Encoded(tokens, PORTRAIT))])


def test_missing_and_damaged_files_are_refused(graphs: Graphs, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="mast3r_ros export"):
        OnnxRuntimeEngine(tmp_path)
    manifest = (graphs.folder / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(EngineUnavailableError, match=r"encoder_96x64\.onnx is missing"):
        OnnxRuntimeEngine(tmp_path)
    for path in graphs.files():
        (tmp_path / path.name).write_text("damaged")
    with pytest.raises(EngineUnavailableError, match=r"cannot load .*encoder_96x64\.onnx"):
        OnnxRuntimeEngine(tmp_path)
    (tmp_path / MANIFEST).write_text(manifest.replace('"format": 2', '"format": 1'))
    with pytest.raises(EngineUnavailableError, match="another version"):
        Graphs.load(tmp_path)
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


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in graph.node for name in node.output}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_attention_has_the_pattern_that_tensorrt_fuses(
    graphs: Graphs, half_graphs: Callable[[str], Graphs], precision: Precision
) -> None:
    """MatMul, Softmax, MatMul with one Transpose an operand, and nothing between the products."""
    graphs = graphs if precision == "fp32" else half_graphs(precision)
    for path, blocks in (
        (graphs.encoder(LANDSCAPE), EXPORTED.encoder_depth),
        (graphs.decoder(graphs.pairs[0]), 4 * EXPORTED.decoder_depth),
    ):
        graph = onnx.load(path).graph
        made = producers(graph)
        softmaxes = [node for node in graph.node if node.op_type == "Softmax"]
        assert len(softmaxes) == blocks  # two attentions a decoder block, two decoders
        for softmax in softmaxes:
            scores = made[softmax.input[0]]
            (product,) = (node for node in graph.node if softmax.output[0] in node.input)
            (after,) = (node for node in graph.node if product.output[0] in node.input)
            assert (scores.op_type, product.op_type, after.op_type) == (
                *("MatMul", "MatMul"),
                "Transpose",
            )
            assert product.input[0] == softmax.output[0]
            permutations = [
                list(made[name].attribute[0].ints)
                for name in (*scores.input, product.input[1])
                if made[name].op_type == "Transpose"
            ]
            assert permutations == [[0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]]
            # From the products of queries and keys back to their projections, no type changes.
            for operand in (made[name].input[0] for name in scores.input):
                turned = made[operand]
                assert turned.op_type == "Add"
                assert {made[name].op_type for name in turned.input} == {"Mul"}


def test_rotary_positions_as_one_layer(tmp_path: Path) -> None:
    """Each attention turns its queries and its keys by one node; the numbers are torch's."""
    config = replace(EXPORTED, head="linear", encoder_depth=1, decoder_depth=1)
    pairs = [(PORTRAIT, LANDSCAPE)]
    layered = export(random_network(config), tmp_path, [LANDSCAPE], pairs, rotary_layer=True)
    for path, blocks in zip(layered.files()[:2], (1, 4), strict=True):
        kinds = [node.op_type for node in onnx.load(path).graph.node]
        assert kinds.count("RotaryEmbedding") == 2 * blocks
        assert not {"Shape", "If", "Loop", "Expand"} & set(kinds)
    engine, exact = OnnxRuntimeEngine(layered.folder, batch=3), TorchEngine(random_network(config))
    query = Encoded(engine.encode(image(LANDSCAPE, 0))[0], LANDSCAPE)
    assert_close(query.tokens, exact.encode(image(LANDSCAPE, 0))[0])
    references = [Encoded(exact.encode(image(PORTRAIT, i))[0], PORTRAIT) for i in range(3)]
    pairs_of_views = [(reference, query) for reference in references]
    decoded = engine.decode(pairs_of_views), exact.decode(pairs_of_views)
    for mine, theirs in zip(*decoded, strict=True):
        assert_close(mine.reference.descriptors, theirs.reference.descriptors)
        assert_close(mine.query.descriptors, theirs.query.descriptors)
