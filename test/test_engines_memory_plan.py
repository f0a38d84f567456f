# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The memory plan counts what the network has, and grows with what is asked of it."""

from dataclasses import replace

import pytest
import torch
from network_reference import SMALL, TINY

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.memory_plan import DEVICES, memory_plan, parameters, plan_table
from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.mast3r import MAST3R

VGA = ImageSize(512, 384)


@pytest.mark.parametrize(
    "config",
    [MAST3RConfig(), SMALL, TINY, replace(TINY, rays=True), replace(TINY, head="linear")],
)
def test_parameters_are_those_of_the_network(config: MAST3RConfig) -> None:
    with torch.device("meta"):
        model = MAST3R(config)
    parts = {"encoder": 0, "decoder": 0, "points": 0}
    for name, parameter in model.named_parameters():
        # In files, but never computed with: these are in no graph.
        if "mask_token" in name or "refinenet4.resConfUnit1" in name:
            continue
        if "downstream_head2.dpt" in name:
            continue
        part = "points" if ".dpt." in name else "decoder"
        part = "encoder" if name.startswith(("enc_", "patch_embed")) else part
        parts[part] += parameter.numel()
    assert parameters(config) == parts


def test_an_orin_of_16_gb_holds_the_published_network() -> None:
    lines = plan_table(MAST3RConfig(), VGA, "fp16")
    assert len(lines) == len(DEVICES)
    (orin,) = (line for line in lines if line.startswith("Orin 16 GB"))
    assert "fits 512x384 in fp16 with --batch 8" in orin


def test_what_is_asked_for_takes_memory() -> None:
    config = MAST3RConfig()
    plan = memory_plan(config, [VGA], "fp16", 8)
    assert plan.total == plan.weights + plan.buffers + plan.scratch + plan.runtime
    assert memory_plan(config, [VGA], "fp16", 4).buffers == pytest.approx(plan.buffers / 2, rel=0.1)
    exact = memory_plan(config, [VGA], "fp32", 8).weights
    assert exact == pytest.approx(2 * plan.weights, abs=2)
    portrait = ImageSize(384, 512)
    both = memory_plan(config, [VGA, portrait], "fp16", 8).weights
    assert both == pytest.approx(2 * plan.weights, abs=2)
    assert memory_plan(config, [VGA], "fp16", 8, cuda_graphs=True).buffers > 2 * plan.buffers
    assert "GB (weights " in str(plan)


def test_a_device_that_is_too_small_is_named() -> None:
    lines = plan_table(MAST3RConfig(), ImageSize(2048, 1536), "fp32")
    assert "does not fit 2048x1536 in fp32; needs" in lines[0]
