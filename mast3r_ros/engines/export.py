# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The network as ONNX graphs that ONNX Runtime and the TensorRT family take.

Traced at a batch of two by PyTorch's dynamo exporter; every reshape keeps the batch in front, so
putting -1 there frees it, with no Shape node in the graph. Precision is in the types: products in
half precision between float32 norms and activations, for strongly typed builds.
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

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines import export_rotary
from mast3r_ros.engines.base import Precision
from mast3r_ros.engines.batched import SizePair
from mast3r_ros.engines.export_rotary import use_rotary_layer
from mast3r_ros.engines.graphs import (
    ENCODER_INPUT,
    ENCODER_OUTPUT,
    POINTS_OUTPUTS,
    QUERY_TOKENS,
    REFERENCE_TOKENS,
    Graphs,
)
from mast3r_ros.network.mast3r import MAST3R

OPSET = 20
_TRACED_BATCH = 2
_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_FORBIDDEN = ("Shape", "If", "Loop")


def token_type(precision: Precision) -> torch.dtype:
    """The type in which tokens leave the encoder's graph and enter the decoder's."""
    return torch.float32 if precision == "fp32" else torch.float16


def level_type(precision: Precision) -> torch.dtype:
    """The type in which levels leave the decoder's graph and enter the point head's.

    Levels of a network that needs bf16 may overflow fp16, and NumPy has no bf16.
    """
    return torch.float16 if precision == "fp16" else torch.float32


def export(
    model: MAST3R,
    folder: str | Path,
    sizes: Sequence[ImageSize],
    pairs: Sequence[SizePair],
    precision: Precision = "fp32",
    checkpoint: str = "",
    rotary_layer: bool = False,
) -> Graphs:
    """Write the graphs of all sizes and pairs, and their manifest.

    Args:
        model: the network, float32; it is converted in place.
        folder: where the files go; made where it is not there.
        sizes: image sizes.
        pairs: (reference size, query size).
        precision: of products and convolutions.
        checkpoint: SHA-256 of the weights' file, for the manifest.
        rotary_layer: with RotaryEmbedding nodes, for TensorRT 10.15 and later.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model = model.cpu().set_precision(_TYPES[precision])
    opset = OPSET
    if rotary_layer:
        use_rotary_layer(model)
        opset = export_rotary.OPSET
    graphs = Graphs(folder, model.config, precision, checkpoint, tuple(sizes), tuple(pairs))
    for size in sizes:
        images = torch.zeros(1, model.config.input_channels, *size.shape)
        encoder = _Encoder(model, token_type(precision))
        path = graphs.encoder(size)
        _export(encoder, [images], [ENCODER_INPUT], [ENCODER_OUTPUT], path, opset)
    for pair in pairs:
        tokens = [_tokens(model, size, token_type(precision)) for size in pair]
        names = [REFERENCE_TOKENS, QUERY_TOKENS]
        decoder = _Decoder(model, pair, level_type(precision))
        path = graphs.decoder(pair)
        _export(decoder, tokens, names, graphs.decoder_outputs, path, opset, free_batch=True)
    for size in sizes:
        levels = [
            _level(model, size, level_type(precision))
            if i
            else _tokens(model, size, token_type(precision))
            for i in model.config.point_levels
        ]
        head, path = _Points(model, size), graphs.points(size)
        _export(head, levels, graphs.points_inputs, POINTS_OUTPUTS, path, opset, free_batch=True)
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
    """Both views' tokens, with the same batch, to `Graphs.decoder_outputs`."""

    def __init__(self, model: MAST3R, pair: SizePair, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.pair = pair
        self.dtype = dtype

    def forward(self, references: Tensor, queries: Tensor) -> tuple[Tensor, ...]:
        decoded = self.model.decode(references, queries, *self.pair)
        features = [x for view in decoded[:2] for x in vars(view).values()]
        levels = [decoded.levels[i - 1].to(self.dtype) for i in self.model.config.point_levels if i]
        return (*features, *levels)


class _Points(nn.Module):
    """`Graphs.points_inputs` to points and their confidence."""

    def __init__(self, model: MAST3R, size: ImageSize) -> None:
        super().__init__()
        self.model = model
        self.size = size

    def forward(self, *levels: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.points(levels, self.size)


def _tokens(model: MAST3R, size: ImageSize, dtype: torch.dtype) -> Tensor:
    rows, columns = model.config.grid(size)
    return torch.zeros(_TRACED_BATCH, rows * columns, model.config.encoder_width, dtype=dtype)


def _level(model: MAST3R, size: ImageSize, dtype: torch.dtype) -> Tensor:
    rows, columns = model.config.grid(size)
    return torch.zeros(_TRACED_BATCH, rows * columns, model.config.decoder_width, dtype=dtype)


def _export(
    module: nn.Module,
    inputs: Sequence[Tensor],
    input_names: Sequence[str],
    output_names: Sequence[str],
    path: Path,
    opset: int,
    free_batch: bool = False,
) -> None:
    with torch.no_grad(), _quiet():
        # Rotary tables are made once and kept: made now, they are constants to the tracer.
        module(*inputs)
        traced = torch.export.export(module, tuple(inputs), strict=False)
        program = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=opset,
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
        # A batch leads, or is in the heads of a single one (`export_rotary`).
        place = int(shape[0] == 1)
        assert shape[place] % _TRACED_BATCH == 0, f"{node.name}: no batch leads {shape}"
        name = f"{target.name}_free"
        if name not in graph.initializers:
            shape[place] = -1
            freed = ir.tensor(shape, dtype=ir.DataType.INT64, name=name)
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
