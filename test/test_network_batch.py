# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Batches, mixed orientations, optional outputs and refusals of the network."""

from dataclasses import replace

import pytest
import torch
from network_reference import TINY, random_network

from mast3r_ros.network import PUBLISHED, MAST3RConfig, named_config
from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.network.rope import RotaryTable, rotary_table, rotate

LANDSCAPE, PORTRAIT = (32, 48), (48, 32)


@pytest.fixture(scope="module")
def model() -> MAST3R:
    return random_network()


def tokens(model: MAST3R, *sizes: tuple[int, int]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    images = [torch.rand((1, 3, *size), generator=generator) * 2 - 1 for size in sizes]
    return torch.cat([model.encode(image) for image in images])


def test_a_mixed_batch_equals_pairs_one_by_one(model: MAST3R) -> None:
    sizes = [LANDSCAPE, PORTRAIT, LANDSCAPE]
    *references, query = tokens(model, *sizes, PORTRAIT).split(1)
    together = model.decode(torch.cat(references), query, sizes, PORTRAIT)
    for reference, size, pair in zip(references, sizes, together, strict=True):
        (alone,) = model.decode(reference, query, [size], PORTRAIT)
        for view in ("reference", "query"):
            for name, expected in vars(getattr(alone, view)).items():
                actual = getattr(getattr(pair, view), name)
                torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
        assert pair.reference.descriptors.shape == (*size, TINY.descriptor_size)


def test_the_query_points_are_optional(model: MAST3R) -> None:
    reference, query = tokens(model, LANDSCAPE, LANDSCAPE).split(1)
    (full,) = model.decode(reference, query, [LANDSCAPE], LANDSCAPE)
    (less,) = model.decode(reference, query, [LANDSCAPE], LANDSCAPE, query_points=False)
    assert less.query.points is None
    assert less.query.confidence is None
    torch.testing.assert_close(less.query.descriptors, full.query.descriptors)
    torch.testing.assert_close(less.reference.points, full.reference.points)


def test_a_linear_head_has_the_same_outputs() -> None:
    config = replace(TINY, head="linear", decoder_depth=2)
    model = random_network(config)
    reference, query = tokens(model, LANDSCAPE, PORTRAIT).split(1)
    (pair,) = model.decode(reference, query, [LANDSCAPE], PORTRAIT)
    assert pair.reference.points is not None
    assert pair.reference.points.shape == (*LANDSCAPE, 3)
    assert pair.query.descriptor_confidence.shape == PORTRAIT


def test_half_precision_stays_close(model: MAST3R) -> None:
    reference, query = tokens(model, LANDSCAPE, LANDSCAPE).split(1)
    (exact,) = model.decode(reference, query, [LANDSCAPE], LANDSCAPE)
    half = random_network().set_trunk_type(torch.bfloat16)
    assert half.enc_blocks[0].norm1.weight.dtype == torch.float32
    assert half.downstream_head1.head_local_features.fc1.weight.dtype == torch.float32
    (pair,) = half.decode(reference.half(), query.half(), [LANDSCAPE], LANDSCAPE)
    cosine = (exact.query.descriptors * pair.query.descriptors).sum(-1)
    assert cosine.mean() > 0.99


def test_rotation_depends_on_relative_position_alone() -> None:
    grid, width = (5, 7), 16
    table = rotary_table(grid, width, 100.0, torch.device("cpu"))
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, width).expand(2, 1, 35, 1, width)
    scores = rotate(query, table)[0, :, 0] @ rotate(key, table)[0, :, 0].T
    # Token (1, 2) looks at (3, 3) as (0, 1) looks at (2, 2).
    torch.testing.assert_close(scores[9, 24], scores[1, 16])
    assert not torch.isclose(scores[9, 24], scores[24, 9])


def test_tables_are_float32_and_made_once() -> None:
    first = rotary_table((3, 4), 16, 100.0, torch.device("cpu"))
    assert first is rotary_table((3, 4), 16, 100.0, torch.device("cpu"))
    assert isinstance(first, RotaryTable)
    assert first.cos.dtype == torch.float32
    x = torch.ones(1, 12, 1, 16, dtype=torch.float16)
    assert rotate(x, first).dtype == torch.float16


def test_sizes_that_do_not_fit_are_refused(model: MAST3R) -> None:
    with pytest.raises(ValueError, match=r"50x32 px.*multiples of the 8 px patch"):
        model.encode(torch.zeros(1, 3, 32, 50))
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        model.encode(torch.zeros(3, 32, 48))
    reference, query = tokens(model, LANDSCAPE, LANDSCAPE).split(1)
    with pytest.raises(ValueError, match="query tokens have shape"):
        model.decode(reference, query, [LANDSCAPE], (32, 32))
    with pytest.raises(ValueError, match="1 references with 2 sizes"):
        model.decode(reference, query, [LANDSCAPE, LANDSCAPE], LANDSCAPE)


def test_configurations() -> None:
    assert named_config(PUBLISHED) == MAST3RConfig()
    with pytest.raises(ValueError, match=PUBLISHED):
        named_config("mast3r_huge")
    with pytest.raises(ValueError, match="not a network configuration"):
        MAST3RConfig.from_dict({"width": 3})
    with pytest.raises(ValueError, match="encoder_width 100"):
        MAST3RConfig(encoder_width=100)
    with pytest.raises(ValueError, match="head='linear'"):
        MAST3RConfig(decoder_depth=2)
