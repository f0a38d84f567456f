# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the verbs `export` and `build-engine` do.

On a Jetson the GPU's memory is the host's. So what needs much of it (the export, each build, both
sides of the parity check) runs in a process of its own, whose memory comes back when it ends.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import Engine, EngineError, EngineUnavailableError, Precision
from mast3r_ros.engines.batched import SizePair
from mast3r_ros.engines.graphs import Graphs, pairs_of
from mast3r_ros.engines.parity import (
    TOLERANCES,
    ImagePair,
    Outputs,
    compare,
    require,
    run_pairs,
)
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.fetch import checkpoint_hash, find_checkpoint, note_on
from mast3r_ros.network.preprocess import network_size, preprocess, read_image

USUAL_CAMERA = ImageSize(640, 480)

# Pictures come without their camera: for a network that takes rays, its view is taken to be as wide
# as most phones' and robots' cameras see. Both engines get the same.
_FOCAL_OVER_LONG_SIDE = 0.8

Report = Callable[[str], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Running:
    """An engine to be checked, as it is to run in production.

    Attributes:
        kind: which engine opens the graphs.
        batch: most pairs at once.
        device: number of the GPU.
        cuda_graphs: as in `TensorRtEngine`.
    """

    kind: Literal["onnxruntime", "tensorrt"] = "onnxruntime"
    batch: int = 1
    device: int = 0
    cuda_graphs: bool = False

    def open(self, folder: Path) -> Engine:
        """Open the graphs in a folder: ONNX Runtime on the CPU, TensorRT on its GPU."""
        if self.kind == "onnxruntime":
            from mast3r_ros.engines.onnxruntime_engine import OnnxRuntimeEngine

            return OnnxRuntimeEngine(folder, "cpu", self.batch)
        from mast3r_ros.engines.tensorrt_engine import TensorRtEngine

        return TensorRtEngine(folder, self.device, self.batch, self.cuda_graphs)


def apart(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a process of its own; its exceptions come back."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def export_graphs(
    folder: Path,
    checkpoint: str | None,
    sizes: Sequence[ImageSize],
    precision: Precision,
    mixed: bool,
    report: Report,
    rotary_layer: bool = False,
) -> Graphs:
    """Export the network of a checkpoint; the graphs' manifest names the checkpoint's hash.

    Without sizes, that is taken which the network sees of a 4:3 camera. `rotary_layer` is for
    TensorRT 10.15 and later.
    """
    path = find_checkpoint(checkpoint)
    report(f"exporting {path} in {precision} to {folder}")
    if note := note_on(checkpoint, path):
        report(f"this {note}")
    apart(_export, folder, path, tuple(sizes), precision, mixed, rotary_layer)
    return Graphs.load(folder)


def _export(
    folder: Path,
    checkpoint: Path,
    sizes: Sequence[ImageSize],
    precision: Precision,
    mixed: bool,
    rotary_layer: bool,
) -> None:
    from mast3r_ros.engines.export import export
    from mast3r_ros.network.checkpoint import load_checkpoint

    model = load_checkpoint(checkpoint)
    sizes = sizes or [network_size(USUAL_CAMERA, model.config)]
    pairs, digest = pairs_of(sizes, mixed), checkpoint_hash(checkpoint)
    export(model, folder, sizes, pairs, precision, digest, rotary_layer)


def require_gpu(device: int, rotary_layer: bool = False) -> str:
    """The GPU's name, where TensorRT can build for it; asked before minutes go into an export.

    Raises:
        EngineUnavailableError: TensorRT, the CUDA runtime or the GPU is missing, or this TensorRT
            has no `rotary_layer`.
    """
    from mast3r_ros.engines.cuda import Cuda
    from mast3r_ros.engines.export_rotary import TENSORRT
    from mast3r_ros.engines.tensorrt_engine import import_tensorrt

    trt = import_tensorrt()
    if rotary_layer and tuple(map(int, trt.__version__.split(".")[:2])) < TENSORRT:
        raise EngineUnavailableError(
            f"--rotary-layer: TensorRT {trt.__version__} has none, 10.15 has; leave it out"
        )
    return Cuda(device).gpu


def build_engines(
    graphs: Graphs, batch: int, device: int, workspace: int | None, report: Report
) -> None:
    """Build the TensorRT engines of exported graphs, each in a process of its own.

    Args:
        graphs: what was exported.
        batch: most pairs at once.
        device: number of the GPU.
        workspace: most bytes that a layer may work in; None for TensorRT's own limit.
        report: gets a line before each file (minutes each, on a Jetson).
    """
    for source in graphs.files():
        report(f"building {source.with_suffix('.engine').name}; a Jetson takes minutes for it")
        apart(_build, graphs, source, batch, device, workspace)


def _build(graphs: Graphs, source: Path, batch: int, device: int, workspace: int | None) -> None:
    from mast3r_ros.engines.cuda import Cuda
    from mast3r_ros.engines.tensorrt_build import build
    from mast3r_ros.engines.tensorrt_engine import import_tensorrt

    cuda = Cuda(device)
    with cuda.current():
        build(import_tensorrt(), graphs, source, batch, cuda.gpu, workspace)


def check_parity(
    running: Running,
    graphs: Graphs,
    checkpoint: str | None,
    images: Sequence[Path],
    report: Report,
) -> None:
    """Compare an engine with the float32 network on image files, at every pair of its sizes.

    Consecutive images make pairs; each is cropped to each size in turn. They run alone and in a
    full batch, as in production.

    Raises:
        ParityError: an output drifted; the message names it.
    """
    path = find_checkpoint(checkpoint)
    pictures = [read_image(image) for image in images]
    for sizes in graphs.pairs:
        examples = _examples(pictures, sizes, graphs.config)
        exact = apart(exact_outputs, path, examples)
        for batch in sorted({1, running.batch}):
            report(f"parity of {sizes[0]} with {sizes[1]}, {batch} at once")
            mine = apart(_engine_outputs, running, graphs.folder, examples, batch)
            measures = compare(mine, exact, TOLERANCES[graphs.precision])
            for measure in measures:
                report(f"  {measure}")
            require(measures)


def exact_outputs(checkpoint: Path, examples: Sequence[ImagePair]) -> list[Outputs]:
    """What the float32 network computes on the CPU."""
    from mast3r_ros.engines.torch_engine import TorchEngine
    from mast3r_ros.network.checkpoint import load_checkpoint

    return run_pairs(TorchEngine(load_checkpoint(checkpoint)), examples)


def _engine_outputs(
    running: Running, folder: Path, examples: Sequence[ImagePair], batch: int
) -> list[Outputs]:
    return run_pairs(running.open(folder), examples, batch)


def discard_engines(graphs: Graphs) -> None:
    """Delete built engines: those that failed must not be opened by mistake."""
    for path in graphs.files(".engine"):
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".json").unlink(missing_ok=True)


def _examples(
    pictures: Sequence[NDArray[np.uint8]], sizes: SizePair, config: MAST3RConfig
) -> list[ImagePair]:
    return [
        (network_picture(first, sizes[0], config), network_picture(second, sizes[1], config))
        for first, second in pairwise(pictures)
    ]


def network_picture(
    picture: NDArray[np.uint8], size: ImageSize, config: MAST3RConfig
) -> NDArray[np.float32]:
    """The middle of a picture, cut to the proportions of a network size: the network's input.

    Raises:
        EngineError: no image gives the network that size.
    """
    height, width = picture.shape[:2]
    wide = min(width, round(height * size.width / size.height))
    high = min(height, round(width * size.height / size.width))
    top, left = (height - high) // 2, (width - wide) // 2
    cut = picture[top : top + high, left : left + wide]
    focal = _FOCAL_OVER_LONG_SIDE * max(wide, high)
    camera = Camera(wide, high, focal, focal, (wide - 1) / 2, (high - 1) / 2)
    image = preprocess(cut, replace(config, image_size=max(size)), camera)
    if image.size != size:
        raise EngineError(
            f"size {size}: a picture of {width}x{height} px gives {image.size}; choose sizes in "
            f"whole patches of {config.patch_size} px"
        )
    return image.values
