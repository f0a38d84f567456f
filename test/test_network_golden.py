# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The network equals the published one: golden vectors of tokens, levels and outputs."""

import numpy as np
import pytest
import torch
from network_reference import SMALL, filled, golden, sample_image

from mast3r_ros.common.size import ImageSize
from mast3r_ros.network import MAST3RConfig
from mast3r_ros.network.mast3r import MAST3R

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def small() -> MAST3R:
    return filled(SMALL)


def relative(ours: torch.Tensor, theirs: np.ndarray) -> float:
    """Largest error over the vector of the last axis, relative to that vector's length."""
    error = np.linalg.norm(ours.numpy() - theirs, axis=-1)
    return float((error / np.linalg.norm(theirs, axis=-1)).max())


def scalar_relative(ours: torch.Tensor, theirs: np.ndarray) -> float:
    return float(np.abs(ours.numpy() / theirs - 1).max())


def compare(model: MAST3R, file: str, size1: tuple[int, int], size2: tuple[int, int]) -> None:
    expected = np.load(golden(file))
    with torch.inference_mode():
        tokens1 = model.encode(sample_image(*size1, 11))
        tokens2 = model.encode(sample_image(*size2, 22))
        sizes = ImageSize.of(size1), ImageSize.of(size2)
        pair = model.decode(tokens1, tokens2, *sizes)
        levels1, levels2 = pair.levels, pair.query_levels
        points1, confidence1 = model.points(model.point_levels(tokens1, levels1), sizes[0])
        points2, confidence2 = model.points(
            model.point_levels(tokens2, levels2), sizes[1], of_query=True
        )
    vectors = {
        "feat1": tokens1,
        "feat2": tokens2,
        "dec1_6": levels1[5],
        "dec2_9": levels2[8],
        "dec1_last": levels1[11],
        "dec2_last": levels2[11],
        "view1_desc": pair.reference.descriptors,
        "view2_desc": pair.query.descriptors,
        "view1_pts3d": points1,
        "view2_pts3d_in_other_view": points2,
    }
    scalars = {
        "view1_conf": confidence1,
        "view2_conf": confidence2,
        "view1_desc_conf": pair.reference.confidence,
        "view2_desc_conf": pair.query.confidence,
    }
    errors = {key: relative(value, expected[key]) for key, value in vectors.items()}
    errors |= {key: scalar_relative(value, expected[key]) for key, value in scalars.items()}
    assert sorted(errors) == sorted(expected.files)
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.parametrize(
    ("file", "size1", "size2"),
    [
        ("small_landscape_64x96.npz", (64, 96), (64, 96)),
        ("small_portrait_96x64.npz", (96, 64), (96, 64)),
        ("small_mixed_64x96_96x64.npz", (64, 96), (96, 64)),
        ("small_odd_rows_48x80.npz", (48, 80), (48, 80)),
    ],
)
def test_small(small: MAST3R, file: str, size1: tuple[int, int], size2: tuple[int, int]) -> None:
    compare(small, file, size1, size2)


@pytest.mark.slow
@pytest.mark.no_cover
def test_full_size() -> None:
    compare(filled(MAST3RConfig(), full_size=True), "full_landscape_64x96.npz", (64, 96), (64, 96))
