# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the network's tests share: reference data, deterministic weights, small networks."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from mast3r_ros.network import MAST3RConfig
from mast3r_ros.network.mast3r import MAST3R

SMALL = MAST3RConfig(
    encoder_width=96,
    encoder_depth=3,
    encoder_heads=3,
    decoder_width=64,
    decoder_depth=12,
    decoder_heads=2,
)
TINY = MAST3RConfig(
    patch_size=8,
    encoder_width=32,
    encoder_depth=2,
    encoder_heads=2,
    decoder_width=32,
    decoder_depth=4,
    decoder_heads=2,
    dpt_level_channels=(8, 12, 16, 24),
    dpt_channels=16,
    dpt_last_channels=8,
    local_features_ratio=1,
)


def reference_folder() -> Path:
    """The folder of reference data; skips the test where there is none."""
    default = Path(__file__).resolve().parents[2] / "shared" / "reference"
    folder = Path(os.environ.get("MAST3R_ROS_REFERENCE", default))
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}: set MAST3R_ROS_REFERENCE")
    return folder


def golden(name: str) -> Path:
    return reference_folder() / "golden" / name


@lru_cache(maxsize=1)
def weights() -> ModuleType:
    """The reference's deterministic fill: values from the key name and the shape alone."""
    spec = importlib.util.spec_from_file_location("fill_weights", golden("fill_weights.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def filled(config: MAST3RConfig, full_size: bool = False) -> MAST3R:
    """A network with the reference's deterministic weights, ready to run."""
    with torch.device("meta"):
        model = MAST3R(config)
    fill = weights().test_weight
    state = {
        key: torch.from_numpy(fill(key, tuple(value.shape), full_size))
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


# With its camera's rays, as our own networks, and with the patches of all real ones.
EXPORTED = replace(TINY, patch_size=16, rays=True, encoder_depth=1)


def random_network(config: MAST3RConfig = TINY, seed: int = 0) -> MAST3R:
    """A network with small random weights: needs no reference data."""
    torch.manual_seed(seed)
    return MAST3R(config).eval().requires_grad_(False)


def sample_image(height: int, width: int, seed: int) -> torch.Tensor:
    values: np.ndarray = weights().test_image(height, width, seed)
    return torch.from_numpy(values)
