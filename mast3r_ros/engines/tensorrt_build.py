# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From an exported graph to a TensorRT engine file, and the stamp that says where it fits.

One strongly typed path from TensorRT 10.3 (JetPack 6) to 11: precision is in the graph's types, and
no flag asks the builder to choose another. An engine runs only on the kind of GPU and the version
of TensorRT that built it; the stamp beside the file lets both be checked before it is loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mast3r_ros.engines.base import EngineError, EngineUnavailableError, Precision
from mast3r_ros.engines.graphs import MANIFEST, Graphs

ENGINE_SUFFIX = ".engine"
TIMING_CACHE = "timing.cache"
# Batches that engines are tuned for. A query is matched with three keyframes first, which a CUDA
# graph pads to four, and with others only where no pose is sure; points are computed for two.
_USUAL_PAIRS = 4
_USUAL_POINT_MAPS = 2


@dataclass(frozen=True)
class Stamp:
    """Where an engine file fits.

    Attributes:
        graphs: SHA-256 of the manifest of the graphs.
        checkpoint: SHA-256 of the weights' file.
        precision: of the products.
        batch: most pairs at once.
        gpu: name and compute capability.
        tensorrt: version.
    """

    graphs: str
    checkpoint: str
    precision: Precision
    batch: int
    gpu: str
    tensorrt: str

    def save(self, engine: Path) -> None:
        """Write it beside the engine file."""
        _stamp_path(engine).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, engine: Path) -> Stamp:
        """Read the stamp of an engine file."""
        try:
            return cls(**json.loads(_stamp_path(engine).read_text()))
        except FileNotFoundError as error:
            raise EngineUnavailableError(
                f"no TensorRT engine at {engine}: make it on this machine with\n"
                f"    mast3r_ros build-engine"
            ) from error
        except (ValueError, TypeError) as error:
            raise EngineUnavailableError(
                f"{_stamp_path(engine)} is damaged ({error}): build the engine again"
            ) from error

    def require(self, graphs: Graphs, gpu: str, tensorrt: str, engine: Path) -> None:
        """Refuse an engine that does not belong to these graphs, this GPU and this TensorRT."""
        wanted = Stamp(
            graphs_hash(graphs), graphs.checkpoint, graphs.precision, self.batch, gpu, tensorrt
        )
        differing = [
            f"{name} is {getattr(self, name)!r}, here it is {value!r}"
            for name, value in asdict(wanted).items()
            if getattr(self, name) != value
        ]
        if differing:
            raise EngineUnavailableError(
                f"{engine} was built for something else: {'; '.join(differing)}. Build it again on "
                f"this machine with\n    mast3r_ros build-engine"
            )


def graphs_hash(graphs: Graphs) -> str:
    """SHA-256 of the graphs' manifest."""
    return hashlib.sha256((graphs.folder / MANIFEST).read_bytes()).hexdigest()


def build(
    trt: Any, graphs: Graphs, source: Path, batch: int, gpu: str, workspace: int | None = None
) -> Path:
    """Build the engine of one graph, with its stamp, and the timing cache that all share.

    Args:
        trt: the tensorrt module.
        graphs: what was exported.
        source: one of its files.
        batch: most pairs at once.
        gpu: name and compute capability, for the stamp.
        workspace: see `compile_graph`.
    """
    cache_path = graphs.folder / TIMING_CACHE
    cache = cache_path.read_bytes() if cache_path.is_file() else b""
    usual = _USUAL_POINT_MAPS if source.name.startswith("points") else _USUAL_PAIRS
    plan, cache = compile_graph(trt, source, batch, cache, workspace=workspace, usual=usual)
    target = source.with_suffix(ENGINE_SUFFIX)
    target.write_bytes(plan)
    Stamp(
        graphs_hash(graphs), graphs.checkpoint, graphs.precision, batch, gpu, trt.__version__
    ).save(target)
    cache_path.write_bytes(cache)
    return target


def compile_graph(
    trt: Any,
    path: Path,
    batch: int,
    cache: bytes = b"",
    workspace: int | None = None,
    usual: int = 1,
    configure: Callable[[Any], None] = lambda _: None,
) -> tuple[bytes, bytes]:
    """Compile one graph.

    Args:
        trt: a module of the TensorRT family.
        path: the ONNX file.
        batch: largest value of a free leading dimension.
        cache: an earlier build's timing cache, or empty.
        workspace: most bytes that a layer may work in; None leaves TensorRT's own limit, which is
            the GPU's memory.
        usual: the value of a free leading dimension that the engine is tuned for.
        configure: last word on the builder's configuration.

    Returns:
        The serialized engine and the timing cache.

    Raises:
        EngineError: the graph is not accepted or does not build.
    """
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        reasons = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise EngineError(f"TensorRT {trt.__version__} does not accept {path}: {reasons}")
    config = builder.create_builder_config()
    # What is float32 is so because half precision, or TF32, is not enough.
    config.clear_flag(trt.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    free = False
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = tuple(tensor.shape)
        if shape[0] == -1:
            free = True
            least, best, most = ((n, *shape[1:]) for n in (1, min(usual, batch), batch))
            profile.set_shape(tensor.name, least, best, most)
    if free:
        config.add_optimization_profile(profile)
    if workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    timing = _timing_cache(config, cache)
    configure(config)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(
            f"TensorRT {trt.__version__} could not build {path.name}: see its messages above; "
            "where memory is short, use a smaller --batch or fewer --size"
        )
    return bytes(plan), bytes(timing.serialize())


def _timing_cache(config: Any, cache: bytes) -> Any:
    """An earlier build's timing cache, or an empty one where that is of another version or GPU."""
    timing = config.create_timing_cache(cache)
    if timing is None or not config.set_timing_cache(timing, False):
        timing = config.create_timing_cache(b"")
        if timing is None or not config.set_timing_cache(timing, False):
            raise EngineError("TensorRT made no timing cache: see its messages above")
    return timing


def _stamp_path(engine: Path) -> Path:
    return engine.with_name(engine.name + ".json")
