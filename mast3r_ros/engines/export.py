# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The network as ONNX graphs that ONNX Runtime and the TensorRT family take.

Traced at a batch of two by PyTorch's dynamo exporter; every reshape keeps the batch in front, so
putting -1 there frees it, with no Shape node in the graph. Precision is in the types: a
half-precision backbone between float32 norms and heads, for strongly typed builds.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx_ir as ir
import torch
from torch import Tensor, nn

from mast3r_ros.engines.base import Precision
from mast3r_ros.engines.graphs import (
    ENCODER_INPUT,
    ENCODER_OUTPUT,
    QUERY_TOKENS,
    REFERENCE_TOKENS,
    Graphs,
    Pair,
)
from mast3r_ros.network.config import ImageSize
from mast3r_ros.network.mast3r import MAST3R

OPSET = 20
_TRACED_BATCH = 2
_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_FORBIDDEN = ("Shape", "If", "Loop")


def token_type(precision: Precision) -> torch.dtype:
    """The type in which tokens leave the encoder's graph and enter the decoder's."""
    return torch.float32 if precision == "fp32" else torch.float16


def export(
    model: MAST3R,
    folder: str | Path,
    sizes: Sequence[ImageSize],
    pairs: Sequence[Pair],
    precision: Precision = "fp32",
    query_points: bool = False,
    checkpoint: str = "",
) -> Graphs:
    """Write the graphs of all sizes and pairs, and their manifest.

    Args:
        model: the network, float32; its backbone is converted in place.
        folder: where the files go; made where it is not there.
        sizes: image sizes (height, width).
        pairs: (reference size, query size).
        precision: of the backbone.
        query_points: whether the decoder makes the query's point map.
        checkpoint: SHA-256 of the weights' file, for the manifest.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model = model.cpu().set_trunk_type(_TYPES[precision])
    graphs = Graphs(
        folder, model.config, precision, checkpoint, tuple(sizes), tuple(pairs), query_points
    )
    for size in sizes:
        images = torch.zeros(1, model.config.input_channels, *size)
        encoder = _Encoder(model, token_type(precision))
        _export(encoder, [images], [ENCODER_INPUT], [ENCODER_OUTPUT], graphs.encoder(size))
    for pair in pairs:
        tokens = [_tokens(model, size, token_type(precision)) for size in pair]
        names = [REFERENCE_TOKENS, QUERY_TOKENS]
        decoder = _Decoder(model, pair, query_points)
        _export(decoder, tokens, names, graphs.outputs, graphs.decoder(pair), free_batch=True)
    graphs.save()
    return graphs


class _Encoder(nn.Module):
    def __init__(self, model: MAST3R, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype

    def forward(self, images: Tensor) -> Tensor:
        return self.model.encode(images).to(self.dtype)


class _Decoder(nn.Module):
    """Both views' tokens, with the same batch, to the outputs in `Graphs.outputs`' order."""

    def __init__(self, model: MAST3R, pair: Pair, query_points: bool) -> None:
        super().__init__()
        self.model = model
        self.pair = pair
        self.query_points = query_points

    def forward(self, references: Tensor, queries: Tensor) -> tuple[Tensor, ...]:
        return self.model.decode_batch(references, queries, *self.pair, self.query_points)


def _tokens(model: MAST3R, size: ImageSize, dtype: torch.dtype) -> Tensor:
    rows, columns = model.config.grid(size)
    return torch.zeros(_TRACED_BATCH, rows * columns, model.config.encoder_width, dtype=dtype)


def _export(
    module: nn.Module,
    inputs: Sequence[Tensor],
    input_names: Sequence[str],
    output_names: Sequence[str],
    path: Path,
    free_batch: bool = False,
) -> None:
    with torch.no_grad(), _quiet():
        # Rotary tables are made once and kept: made now, they are constants to the tracer.
        module(*inputs)
        traced = torch.export.export(module, tuple(inputs), strict=False)
        program = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=OPSET,
            input_names=input_names,
            output_names=output_names,
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph:
        if node.op_type in _FORBIDDEN:
            raise RuntimeError(
                f"{path.name}: the exporter made a {node.op_type} node ({node.name})"
            )
        node.metadata_props.clear()  # stack traces of the machine that exported
    if free_batch:
        _free_batch(program.model.graph)
    program.save(path, external_data=True)


def _free_batch(graph: ir.Graph) -> None:
    """Make the leading dimension of inputs, outputs and reshapes any number."""
    batch = ir.SymbolicDim("batch")
    outer = (*graph.inputs, *graph.outputs)
    for node in graph:
        for value in node.outputs:
            if value not in outer:
                value.shape = None
        if node.op_type != "Reshape":
            continue
        target = node.inputs[1]
        assert target is not None
        assert target.const_value is not None, "a reshape to a computed shape"
        shape = target.const_value.numpy().tolist()
        if shape[0] == -1:
            continue
        assert shape[0] % _TRACED_BATCH == 0, f"{node.name}: {shape} does not lead with the batch"
        name = f"{target.name}_free"
        if name not in graph.initializers:
            freed = ir.tensor([-1, *shape[1:]], dtype=ir.DataType.INT64, name=name)
            graph.register_initializer(ir.Value(name=name, const_value=freed))
        node.replace_input_with(1, graph.initializers[name])
    for value in outer:
        assert value.shape is not None
        value.shape = ir.Shape([batch, *value.shape[1:]])
    used = {value for node in graph for value in node.inputs if value is not None}
    for name in [name for name, value in graph.initializers.items() if value not in used]:
        del graph.initializers[name]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on libraries that are not used here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
