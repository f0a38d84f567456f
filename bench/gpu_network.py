# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Everything about the network that only a GPU can show: `make gpu-check`.

Half precision against float32, with and without CUDA graphs; latency by stage and memory for one,
four and eight references; TensorRT, where it is installed. The figures go into docs/benchmarks.md
under the GPU's name.

    python -m bench.gpu_network [--checkpoint FILE] [--images A B ...] [--page docs/benchmarks.md]
    python -m bench.gpu_network --device cpu --tiny --page /tmp/page.md    # the script itself
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mast3r_ros.engines.base import (
    Encoded,
    Engine,
    EngineUnavailableError,
    Precision,
    size_name,
)
from mast3r_ros.engines.building import network_picture
from mast3r_ros.engines.parity import compare
from mast3r_ros.engines.torch_engine import TorchEngine
from mast3r_ros.network.checkpoint import load_checkpoint
from mast3r_ros.network.config import ImageSize, MAST3RConfig
from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.network.preprocess import read_image

START, END = "<!-- gpu-check: begin -->", "<!-- gpu-check: end -->"
# Multiplications and additions at 512x384 with the reference's tokens kept, both point maps.
PAIR_TFLOP = 1.51
COUNTS = (1, 4, 8)
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
)

Pictures = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


class Check:
    """Runs the engines one after the other and gathers the page's lines.

    Args:
        model: the network, float32.
        device: "cuda" or "cpu".
        pictures: image pairs for parity.
        runs: how often each figure is taken.
    """

    def __init__(self, model: MAST3R, device: str, pictures: Pictures, runs: int) -> None:
        self.model = model
        self.device = device
        self.pictures = pictures
        self.runs = runs
        self.size: ImageSize = (pictures[0][0].shape[1], pictures[0][0].shape[2])
        self.lines: list[str] = []
        self.drifted: list[str] = []

    def run(self) -> None:
        """Everything that can run on this device."""
        on_gpu = self.device != "cpu"
        rate = matmul_rate(self.device, 8192 if on_gpu else 512)
        self._say(f"Matrix products in fp16: {rate:.1f} TFLOP/s. " if on_gpu else "No GPU. ")
        self._say(f"Images of {size_name(self.size)}; median of {self.runs} runs.\n")
        self._say(
            "| engine | encode | decode K = 1 | K = 4 | K = 8 | encode + decode over the floor "
            "| memory |"
        )
        self._say("|---|---|---|---|---|---|---|")
        exact = TorchEngine(deepcopy(self.model))
        verdicts: list[str] = []
        for name, make in self._engines():
            try:
                engine = make()
            except EngineUnavailableError as error:
                verdicts.append(f"- {name}: not run: {str(error).splitlines()[0]}")
                continue
            self._say(self._row(name, engine, PAIR_TFLOP / rate if on_gpu else None))
            verdicts.append(f"- {name}:")
            for measure in compare(engine, exact, self.pictures, query_points=True):
                verdicts.append(f"  - `{' '.join(str(measure).split())}`")
                if not measure.good:
                    self.drifted.append(f"{name}: {measure}")
            del engine
            if on_gpu:
                torch.cuda.empty_cache()
        self._say("\nAgainst the float32 network on the CPU:\n")
        for verdict in verdicts:
            self._say(verdict)

    def _engines(self) -> Iterator[tuple[str, Callable[[], Engine]]]:
        precisions: tuple[Precision, ...] = ("fp32", "fp16", "bf16")
        for precision in precisions if self.device != "cpu" else ("fp32", "bf16"):
            for graphs in (False, True) if self.device != "cpu" else (False,):
                yield (
                    f"torch {precision}{', CUDA graphs' * graphs}",
                    lambda precision=precision, graphs=graphs: TorchEngine(  # type: ignore[misc]
                        deepcopy(self.model), self.device, precision, max(COUNTS), graphs
                    ),
                )
        for precision in ("fp16", "bf16"):
            yield f"tensorrt {precision}", lambda precision=precision: self._tensorrt(precision)  # type: ignore[misc]

    def _tensorrt(self, precision: Precision) -> Engine:
        from mast3r_ros.engines.building import build_engines
        from mast3r_ros.engines.export import export
        from mast3r_ros.engines.tensorrt_engine import import_tensorrt

        import_tensorrt()  # before minutes are spent on an export
        with tempfile.TemporaryDirectory() as folder:
            pairs = [(self.size, self.size)]
            graphs = export(deepcopy(self.model), folder, [self.size], pairs, precision, True)
            return build_engines(graphs, max(COUNTS), 0, print)

    def _row(self, name: str, engine: Engine, floor: float | None) -> str:
        images = [self.pictures[0][0][None], self.pictures[0][1][None]]
        reference, query = (Encoded(engine.encode(image)[0], self.size) for image in images)
        engine.warm_up([self.size])
        encode = self._time(lambda: engine.encode(images[1]))
        decode = [
            self._time(lambda k=k: engine.decode([reference] * k, query, True))  # type: ignore[misc]
            for k in COUNTS
        ]
        ratio = "" if floor is None else f"{(encode + decode[0]) / floor:.2f}"
        memory = engine.info().memory
        cells = [name, *(f"{1e3 * s:.1f} ms" for s in (encode, *decode)), ratio]
        return f"| {' | '.join(cells)} | {(memory or 0) / 1e9:.2f} GB |"

    def _time(self, work: Callable[[], object]) -> float:
        """Median seconds; the engines wait for the device before they return."""
        work()
        taken = []
        for _ in range(self.runs):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
        return float(np.median(taken))

    def _say(self, line: str) -> None:
        print(line, flush=True)
        self.lines.append(line)


def matmul_rate(device: str, side: int) -> float:
    """TFLOP/s of square fp16 (on a CPU: float32) matrix products."""
    dtype = torch.float32 if device == "cpu" else torch.float16
    a = torch.randn(side, side, dtype=dtype, device=device)
    for measured in (False, True):
        runs = 20 if measured else 5
        if device != "cpu":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(runs):
            a @ a
        if device != "cpu":
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - start) / runs
    return 2 * side**3 / seconds / 1e12


def example_pictures(size: ImageSize) -> list[NDArray[np.uint8]]:
    """A smooth random picture, and the same moved by some pixels."""
    rough = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    smooth = cv2.resize(rough, (size[1] + 16, size[0] + 16), interpolation=cv2.INTER_CUBIC)
    moved = [smooth[: size[0], : size[1]], smooth[16:, 16:]]
    return [np.asarray(picture, np.uint8) for picture in moved]


def write_page(page: Path, title: str, lines: Sequence[str]) -> None:
    """Put the section of this GPU into the page, in place of an earlier one of the same name."""
    text = page.read_text() if page.is_file() else f"{START}\n{END}\n"
    before, _, rest = text.partition(START)
    held, _, after = rest.partition(END)
    heading = f"### {title}"
    sections = [
        f"### {section.strip()}"
        for section in held.split("### ")[1:]
        if section.splitlines()[0].strip() != title
    ]
    sections.append("\n".join([heading, "", *lines]).strip())
    page.write_text(f"{before}{START}\n\n" + "\n\n".join(sections) + f"\n\n{END}{after}")


def main(words: Sequence[str] | None = None) -> int:
    """Exit status 1 where an engine drifted, 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description="What only a GPU can show of the network.")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--checkpoint", type=Path, help="weights; random ones if not given")
    parser.add_argument("--images", type=Path, nargs="+", help="pictures of one place, 4:3")
    parser.add_argument("--tiny", action="store_true", help="a tiny network and tiny images")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    arguments = parser.parse_args(words)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA GPU here: nothing was run", file=sys.stderr)
        return 2
    torch.manual_seed(0)
    if arguments.checkpoint:
        model = load_checkpoint(arguments.checkpoint)
    else:
        model = MAST3R(TINY if arguments.tiny else MAST3RConfig()).eval().requires_grad_(False)
    config = model.config
    size = (64, 96) if arguments.tiny else (config.image_size * 3 // 4, config.image_size)
    seen = [read_image(path) for path in arguments.images or ()] or example_pictures(size)
    values = [network_picture(picture, size, config) for picture in seen]
    check = Check(model, arguments.device, list(pairwise(values)), arguments.runs)
    check.run()
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    weights = arguments.checkpoint.name if arguments.checkpoint else "random weights"
    title = f"{name}, PyTorch {torch.__version__}, {weights}{', tiny network' * arguments.tiny}"
    write_page(arguments.page, title, check.lines)
    for line in check.drifted:
        print(f"DRIFTED {line}", file=sys.stderr)
    return 1 if check.drifted else 0


if __name__ == "__main__":
    sys.exit(main())
