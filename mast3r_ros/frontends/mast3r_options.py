# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a user may turn of the front end `mast3r`. The defaults stand here alone."""

from __future__ import annotations

from dataclasses import dataclass

from mast3r_ros.options import check, option


@dataclass(frozen=True)
class Mast3rOptions:
    """How the network runs, and how its answers become matches."""

    engine: str = option(
        "auto",
        "mast3r: what runs the network; auto takes the fastest that can and says why others cannot",
        choices=("auto", "tensorrt", "torch", "onnxruntime"),
        read_only=True,
    )
    checkpoint: str = option(
        "", "mast3r: file of weights; empty: those of `mast3r_ros fetch-checkpoint`", read_only=True
    )
    graphs: str = option(
        "",
        "mast3r: folder of exported graphs and built engines; empty: the cache's",
        read_only=True,
    )
    device: str = option(
        "auto",
        "mast3r: auto, cpu, cuda or cuda:N; auto takes a GPU where there is one",
        read_only=True,
    )
    precision: str = option(
        "auto",
        "mast3r: precision of the network's trunk in PyTorch; auto: fp16 on a GPU, fp32 on a CPU",
        choices=("auto", "fp32", "fp16", "bf16"),
        read_only=True,
    )
    batch: int = option(8, "mast3r: most keyframes decoded at once", 1, 100, read_only=True)
    stride: int = option(
        8,
        "mast3r: distance of the seeds of matching; smaller is slower and denser [network pixels]",
        1,
        64,
        read_only=True,
    )
    border: int = option(
        3,
        "mast3r: matches nearer to the image's edge are dropped [network pixels]",
        0,
        64,
        read_only=True,
    )
    scale_from_depth: str = option(
        "rescale",
        "mast3r: what a keyframe's depth sensor does to the predicted points: nothing (off), gives "
        "them its scale (rescale), or takes their place (replace)",
        choices=("off", "rescale", "replace"),
        read_only=True,
    )

    def __post_init__(self) -> None:
        check(self)
