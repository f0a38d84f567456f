# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The parts of `bench.gpu_check`. What they print goes into the page; they exit with 1 on failure.

On a CPU everything runs that needs no GPU, with the same code: `--device cpu --tiny`.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from bench.gpu_check import NO_GPU
from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import Encoded, Engine, Precision
from mast3r_ros.engines.building import network_picture
from mast3r_ros.engines.graphs import Graphs
from mast3r_ros.engines.parity import (
    TOLERANCES,
    ImagePair,
    Outputs,
    compare,
    run_pairs,
)
from mast3r_ros.engines.torch_engine import TorchEngine
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd
from mast3r_ros.frontends.mast3r.matching import match_features
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.network.checkpoint import load_checkpoint
from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.network.preprocess import network_size, read_image

COUNTS = (1, 3, 8, 3)
TINY = MAST3RConfig(
    encoder_width=64,
    encoder_depth=2,
    encoder_heads=2,
    decoder_width=64,
    decoder_depth=4,
    decoder_heads=2,
    dpt_level_channels=(8, 16, 24, 32),
    dpt_channels=16,
    dpt_last_channels=8,
    local_features_ratio=1,
    image_size=96,
)


@dataclass(frozen=True)
class Setting:
    """What all parts work on."""

    device: str
    state: Path
    checkpoint: Path | None
    images: tuple[Path, ...]
    tiny: bool
    runs: int

    @property
    def on_gpu(self) -> bool:
        """Whether this is the real check."""
        return self.device != "cpu"

    @property
    def precision(self) -> Precision:
        """The one that is looked at first; on a CPU, where bf16 is the half precision there is."""
        return "fp16" if self.on_gpu else "bf16"

    def model(self) -> MAST3R:
        """The weights that were given; random ones, always the same, if none were."""
        if self.checkpoint:
            return load_checkpoint(self.checkpoint)
        torch.manual_seed(0)
        return MAST3R(TINY if self.tiny else MAST3RConfig()).eval().requires_grad_(False)

    def engine(self, precision: Precision | None = None, cuda_graphs: bool = False) -> TorchEngine:
        """The network in PyTorch."""
        precision = precision or self.precision
        return TorchEngine(self.model(), self.device, precision, max(COUNTS), cuda_graphs)

    def pictures(self) -> list[NDArray[np.uint8]]:
        """The pictures that were given; a smooth random one and the same moved, if none were."""
        if self.images:
            return [read_image(path) for path in self.images]
        rough = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
        smooth = np.asarray(cv2.resize(rough, (660, 500), interpolation=cv2.INTER_CUBIC), np.uint8)
        return [smooth[:480, :640], smooth[20:, 20:]]

    def examples(self, config: MAST3RConfig) -> list[ImagePair]:
        """Network inputs of consecutive pictures."""
        size = network_size(ImageSize(640, 480), config)
        return list(pairwise(network_picture(p, size, config) for p in self.pictures()))


def versions(setting: Setting) -> bool:
    """What runs here, and one product of matrices."""
    if setting.on_gpu and not torch.cuda.is_available():
        print("no CUDA GPU here, so that nothing was checked")
        sys.exit(NO_GPU)
    name = torch.cuda.get_device_name() if setting.on_gpu else "CPU"
    weights = setting.checkpoint.name if setting.checkpoint else "random weights"
    print(f"{name}, PyTorch {torch.__version__}, {weights}{', tiny network' * setting.tiny}")
    side = 8192 if setting.on_gpu else 256
    dtype = torch.float16 if setting.on_gpu else torch.float32
    a = torch.randn(side, side, dtype=dtype, device=setting.device)
    seconds = _median(lambda: a @ a, setting)
    print(f"matrix products in {dtype}: {2 * side**3 / seconds / 1e12:.2f} TFLOP/s")
    return True


def kernels(setting: Setting) -> bool:
    """The matcher's kernels against the CPU, bit by bit."""
    from bench.gpu_matching import differences
    from mast3r_ros.matching.cuda_device import DriverDevice

    found = differences(DriverDevice(), large=False)
    print("\n".join(found) or "every kernel gives the bits of the CPU")
    return not found


def torch_engine(setting: Setting) -> bool:
    """The torch engine through a whole `match`, without CUDA graphs and with them."""
    first, second = setting.pictures()[:2]
    agree = True
    before: list[NDArray[np.float32]] = []
    for graphs in (False, True) if setting.on_gpu else (False,):
        front_end = Mast3rFrontEnd(engine=setting.engine(cuda_graphs=graphs))
        keyframe, query = front_end.describe(_frame(first)), front_end.describe(_frame(second))
        front_end.warm_up()
        for i, count in enumerate(COUNTS):
            found = front_end.match([keyframe] * count, query)
            taken = _median(lambda: front_end.match([keyframe] * count, query), setting)  # noqa: B023
            what = f"CUDA graphs {graphs}, K = {count}"
            print(f"{what}: {1e3 * taken:.1f} ms, {len(found[0])} matches")
            pixels = found[-1].query_pixels
            if graphs and not np.array_equal(pixels, before[i]):
                print(f"K = {count}: other matches than without CUDA graphs")
                agree = False
            before.append(pixels)
        if setting.on_gpu:
            matcher = front_end.details["matching"]
            print(f"matching on: {matcher}")
            agree &= matcher.startswith("GPU")
    return agree


def matching(setting: Setting) -> bool:
    """Matching of eight keyframes by stage."""
    engine = setting.engine()
    reference, query = _encoded(engine, setting)
    decoded = engine.decode([(reference, query)] * 8)
    seconds = _median(lambda: match_features(decoded, 8, 3), setting)
    print(f"matching of K = 8, both ways: {1e3 * seconds:.1f} ms")
    if setting.on_gpu:
        from bench.gpu_matching import _times
        from mast3r_ros.matching.cuda_device import DriverDevice

        _times(DriverDevice())
    return True


def reference(setting: Setting) -> bool:
    """The float32 network's outputs on the CPU, for `parity`."""
    model = setting.model()
    outputs = run_pairs(TorchEngine(model), setting.examples(model.config))
    (setting.state / "reference.pickle").write_bytes(pickle.dumps(outputs))
    return True


def parity(setting: Setting) -> bool:
    """Every output of each precision against the CPU, alone and in a batch."""
    exact = _reference(setting)
    good = True
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "bf16")
    for precision in precisions if setting.on_gpu else ("bf16",):
        engine = setting.engine(precision)
        good &= _judge(f"torch {precision}", engine, exact, setting)
    # Random weights have no matches to keep: only weights of a trained network can fail so.
    return good or setting.checkpoint is None


def profile(setting: Setting) -> bool:
    """Where the time goes, for one keyframe and for eight."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    engine = setting.engine()
    one, other = _encoded(engine, setting)
    for count in (1, 8):
        engine.points(engine.decode([(one, other)] * count)[:1])
        activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * setting.on_gpu]
        with record(activities=activities) as recorded:
            engine.points(engine.decode([(one, other)] * count)[:1])
        key = "self_cuda_time_total" if setting.on_gpu else "self_cpu_time_total"
        print(f"K = {count}")
        print(recorded.key_averages().table(sort_by=key, row_limit=12, max_name_column_width=40))
    return True


def build(setting: Setting) -> bool:
    """The TensorRT engines of one size, in the background."""
    from mast3r_ros.engines.building import build_engines
    from mast3r_ros.engines.export import export

    model = setting.model()
    size = network_size(ImageSize(640, 480), model.config)
    graphs = export(model, setting.state / "engines", [size], [(size, size)], "fp16")
    build_engines(graphs, max(COUNTS), 0, None, print)
    return True


def tensorrt(setting: Setting) -> bool:
    """TensorRT without CUDA graphs and with them, against the CPU, and its fused attentions."""
    from mast3r_ros.engines.tensorrt_engine import TensorRtEngine, import_tensorrt

    exact, folder = _reference(setting), setting.state / "engines"
    good = True
    for graphs in (False, True):
        engine = TensorRtEngine(folder, batch=max(COUNTS), cuda_graphs=graphs)
        good &= _judge(f"tensorrt fp16, CUDA graphs {graphs}", engine, exact, setting)
        one, other = _encoded(engine, setting)
        for count in COUNTS:
            pairs = [(one, other)] * count
            seconds = _median(lambda: engine.decode(pairs), setting)  # noqa: B023
            print(f"  decode K = {count}: {1e3 * seconds:.1f} ms")
    trt = import_tensorrt()
    runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
    for path in Graphs.load(folder).files(".engine"):
        layers = runtime.deserialize_cuda_engine(path.read_bytes()).create_engine_inspector()
        text = layers.get_engine_information(trt.LayerInformationFormat.ONELINE)
        print(f"{path.name}: {text.lower().count('mha')} layers named as fused attention")
    return good or setting.checkpoint is None


def query(setting: Setting) -> bool:
    """A whole query against eight keyframes: describe and match."""
    front_end = Mast3rFrontEnd(engine=setting.engine())
    first, second = (_frame(picture) for picture in setting.pictures()[:2])
    keyframe = front_end.describe(first)
    with _timed() as taken:
        for _ in range(setting.runs):
            front_end.match([keyframe] * 8, front_end.describe(second))
    busy = sum(front_end.network.info().latency.values())
    whole = taken[0] / setting.runs
    print(f"describe and match K = 8: {1e3 * whole:.1f} ms, the engine {1e3 * busy:.1f} ms of it")
    return True


def memcheck(setting: Setting) -> bool:
    """The kernels under compute-sanitizer."""
    from bench.gpu_matching import _sanitize

    return _sanitize()


PARTS: dict[str, Callable[[Setting], bool]] = {
    "versions": versions,
    "kernels": kernels,
    "torch": torch_engine,
    "matching": matching,
    "reference": reference,
    "parity": parity,
    "profile": profile,
    "build": build,
    "tensorrt": tensorrt,
    "query": query,
    "memcheck": memcheck,
}


def _reference(setting: Setting) -> list[Outputs]:
    outputs: list[Outputs] = pickle.loads((setting.state / "reference.pickle").read_bytes())
    return outputs


def _judge(name: str, engine: Engine, exact: Sequence[Outputs], setting: Setting) -> bool:
    examples = setting.examples(engine.config)
    good = True
    for batch in (1, max(COUNTS)):
        mine = run_pairs(engine, examples, batch)
        for measure in compare(mine, exact, TOLERANCES[engine.info().precision]):
            print(f"{name}, K = {batch}: {measure}")
            good &= measure.good
    return good


def _encoded(engine: Engine, setting: Setting) -> tuple[Encoded, Encoded]:
    first, second = (
        Encoded(engine.encode(image[None])[0], ImageSize.of(image.shape[1:]))
        for image in setting.examples(engine.config)[0]
    )
    return first, second


def _frame(picture: NDArray[np.uint8]) -> Frame:
    height, width = picture.shape[:2]
    focal = 0.9 * width
    return Frame(picture, Camera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2))


def _median(work: Callable[[], object], setting: Setting) -> float:
    """Median seconds of a run, the device's work included."""
    seconds = []
    for _ in range(setting.runs + 1):
        start = time.perf_counter()
        work()
        if setting.on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


@contextmanager
def _timed() -> Iterator[list[float]]:
    taken: list[float] = []
    start = time.perf_counter()
    yield taken
    taken.append(time.perf_counter() - start)


def main() -> int:
    """Run the part that is named."""
    parser = argparse.ArgumentParser(description="One part of `python -m bench.gpu_check`.")
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="weights; random ones if not given")
    parser.add_argument("--images", type=Path, nargs="+", default=[], help="of one place, 4:3")
    parser.add_argument("--tiny", action="store_true", help="a tiny network and tiny images")
    parser.add_argument("--runs", type=int, default=10)
    given = vars(parser.parse_args())
    part = given.pop("part")
    setting = Setting(**{**given, "images": tuple(given["images"])})
    return 0 if PARTS[part](setting) else 1


if __name__ == "__main__":
    sys.exit(main())
