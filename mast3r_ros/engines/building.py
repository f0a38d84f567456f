# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the verbs `fetch-checkpoint`, `export` and `build-engine` do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.engines.base import Engine, Precision, size_name
from mast3r_ros.engines.graphs import Graphs, Pair, pairs_of
from mast3r_ros.engines.parity import compare, require
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.network.config import ImageSize, MAST3RConfig
from mast3r_ros.network.fetch import checkpoint_hash, find_checkpoint, note_on
from mast3r_ros.network.preprocess import network_size, preprocess, read_image

# (height, width) of what cameras give: 4:3, upright, and 16:9.
_CAMERAS: tuple[ImageSize, ...] = ((480, 640), (640, 480), (360, 640))

# Pictures come without their camera: for a network that takes rays, its view is taken to be as wide
# as most phones' and robots' cameras see. Both engines get the same.
_FOCAL_OVER_LONG_SIDE = 0.8

Report = Callable[[str], None]


def export_graphs(
    folder: Path,
    checkpoint: str | None,
    sizes: Sequence[ImageSize],
    precision: Precision,
    mixed: bool,
    query_points: bool,
    report: Report,
) -> Graphs:
    """Export the network of a checkpoint; the graphs' manifest names the checkpoint's hash.

    Without sizes, those are taken that the network sees of usual cameras.
    """
    from mast3r_ros.engines.export import export
    from mast3r_ros.network.checkpoint import load_checkpoint

    path = find_checkpoint(checkpoint)
    report(f"exporting {path} in {precision} to {folder}")
    if note := note_on(checkpoint, path):
        report(f"this {note}")
    model = load_checkpoint(path)
    sizes = sizes or [network_size(size, model.config) for size in _CAMERAS]
    pairs = pairs_of(sizes, mixed)
    return export(model, folder, sizes, pairs, precision, query_points, checkpoint_hash(path))


def require_gpu(device: int) -> str:
    """The GPU's name, where TensorRT can build for it; asked before minutes go into an export.

    Raises:
        EngineUnavailableError: TensorRT, the CUDA runtime or the GPU is missing.
    """
    from mast3r_ros.engines.cuda import Cuda
    from mast3r_ros.engines.tensorrt_engine import import_tensorrt

    import_tensorrt()
    return Cuda(device).gpu


def build_engines(graphs: Graphs, batch: int, device: int, report: Report) -> Engine:
    """Build the TensorRT engines of exported graphs, and open them."""
    from mast3r_ros.engines.tensorrt_build import build
    from mast3r_ros.engines.tensorrt_engine import TensorRtEngine, import_tensorrt

    trt, gpu = import_tensorrt(), require_gpu(device)
    report(f"TensorRT {trt.__version__} on {gpu}; a Jetson takes minutes for each file")
    build(trt, graphs, batch, gpu, report)
    return TensorRtEngine(graphs.folder, device, batch)


def check_parity(
    engine: Engine,
    graphs: Graphs,
    checkpoint: str | None,
    images: Sequence[Path],
    report: Report,
) -> None:
    """Compare an engine with the float32 network on image files, at every pair of its sizes.

    Consecutive images make pairs; each is cropped to each size in turn.

    Raises:
        ParityError: an output drifted; the message names it.
    """
    from mast3r_ros.engines.torch_engine import TorchEngine
    from mast3r_ros.network.checkpoint import load_checkpoint

    exact = TorchEngine(load_checkpoint(find_checkpoint(checkpoint)))
    pictures = [read_image(path) for path in images]
    for pair in graphs.pairs:
        report("parity of " + " with ".join(map(size_name, pair)))
        examples = _examples(pictures, pair, graphs.config)
        measures = compare(engine, exact, examples, graphs.query_points)
        for measure in measures:
            report(f"  {measure}")
        require(measures)


def discard_engines(graphs: Graphs) -> None:
    """Delete built engines: those that failed must not be opened by mistake."""
    for path in graphs.files(".engine"):
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".json").unlink(missing_ok=True)


def open_graphs(graphs: Graphs) -> Engine:
    """Exported graphs in ONNX Runtime on the CPU, for their parity check."""
    from mast3r_ros.engines.onnxruntime_engine import OnnxRuntimeEngine

    return OnnxRuntimeEngine(graphs.folder, "cpu", 1)


def _examples(
    pictures: Sequence[NDArray[np.uint8]], pair: Pair, config: MAST3RConfig
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    return [
        (network_picture(first, pair[0], config), network_picture(second, pair[1], config))
        for first, second in pairwise(pictures)
    ]


def network_picture(
    picture: NDArray[np.uint8], size: ImageSize, config: MAST3RConfig
) -> NDArray[np.float32]:
    """The middle of a picture, cut to the proportions of a network size: the network's input."""
    height, width = picture.shape[:2]
    wide = min(width, round(height * size[1] / size[0]))
    high = min(height, round(width * size[0] / size[1]))
    top, left = (height - high) // 2, (width - wide) // 2
    cut = picture[top : top + high, left : left + wide]
    focal = _FOCAL_OVER_LONG_SIDE * max(wide, high)
    camera = Camera(wide, high, focal, focal, (wide - 1) / 2, (high - 1) / 2)
    image = preprocess(cut, replace(config, image_size=max(size)), camera)
    if image.size != size:
        raise ValueError(
            f"a picture of {width}x{height} px gives {size_name(image.size)}, not {size_name(size)}"
        )
    return image.values
