# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Batches, mixed orientations, optional outputs and refusals of the network."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from network_reference import TINY, random_network

from mast3r_ros.common.size import ImageSize
from mast3r_ros.network import PUBLISHED, MAST3RConfig, named_config
from mast3r_ros.network.heads import _to_pixels
from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.network.rope import rotary_tables, rotate

LANDSCAPE, PORTRAIT = ImageSize(48, 32), ImageSize(32, 48)


@pytest.fixture(scope="module")
def model() -> MAST3R:
    return random_network()


def tokens(model: MAST3R, *sizes: ImageSize, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    images = [torch.rand((1, 3, *size.shape), generator=generator) * 2 - 1 for size in sizes]
    return torch.cat([model.encode(image) for image in images])


def test_a_batch_equals_pairs_one_by_one(model: MAST3R) -> None:
    references, queries = (
        tokens(model, size, size, size, seed=seed)
        for seed, size in enumerate((LANDSCAPE, PORTRAIT))
    )
    together = model.decode(references, queries, LANDSCAPE, PORTRAIT)
    points = model.points(model.point_levels(references, together.levels), LANDSCAPE)
    for i in range(3):
        reference, query = references[i : i + 1], queries[i : i + 1]
        alone = model.decode(reference, query, LANDSCAPE, PORTRAIT)
        for view in ("reference", "query"):
            for name, expected in vars(getattr(alone, view)).items():
                actual = getattr(getattr(together, view), name)[i : i + 1]
                torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
        for actual, expected in zip(
            points,
            model.points(model.point_levels(reference, alone.levels), LANDSCAPE),
            strict=True,
        ):
            torch.testing.assert_close(actual[i : i + 1], expected, rtol=1e-4, atol=1e-6)
    assert together.reference.descriptors.shape == (3, *LANDSCAPE.shape, TINY.descriptor_size)
    assert together.query.confidence.shape == (3, *PORTRAIT.shape)


def test_outputs_are_contiguous(model: MAST3R) -> None:
    for config in (TINY, replace(TINY, head="linear")):
        network = random_network(config)
        reference, query = tokens(network, LANDSCAPE, LANDSCAPE).split(1)
        decoded = network.decode(reference, query, LANDSCAPE, LANDSCAPE)
        arrays = [*vars(decoded.reference).values(), *vars(decoded.query).values()]
        arrays += network.points(network.point_levels(reference, decoded.levels), LANDSCAPE)
        assert all(array.is_contiguous() for array in arrays)


def test_pixels_of_tokens_are_those_of_a_pixel_shuffle() -> None:
    values = torch.randn(2, 6, 3 * 16)
    mapped = values.transpose(1, 2).unflatten(2, (2, 3))
    expected = torch.nn.functional.pixel_shuffle(mapped, 4).permute(0, 2, 3, 1)
    torch.testing.assert_close(_to_pixels(values, (2, 3), 4), expected, rtol=0, atol=0)


def test_a_linear_head_has_the_same_outputs() -> None:
    model = random_network(replace(TINY, head="linear", decoder_depth=2))
    reference, query = tokens(model, LANDSCAPE, PORTRAIT).split(1)
    decoded = model.decode(reference, query, LANDSCAPE, PORTRAIT)
    points, confidence = model.points(model.point_levels(reference, decoded.levels), LANDSCAPE)
    assert points.shape == (1, *LANDSCAPE.shape, 3)
    assert confidence.shape == (1, *LANDSCAPE.shape)
    assert decoded.query.confidence.shape == (1, *PORTRAIT.shape)


@pytest.mark.parametrize("head", ["dpt", "linear"])
def test_half_precision_stays_close(head: Literal["dpt", "linear"]) -> None:
    config = replace(TINY, head=head)
    exact, half = random_network(config), random_network(config).set_precision(torch.bfloat16)
    kinds = {key: value.dtype for key, value in half.state_dict().items()}
    full = {key for key, kind in kinds.items() if kind == torch.float32}
    last = "dpt.head.4" if head == "dpt" else "dpt.proj"
    modules = half.named_modules()
    transposed = [n + "." for n, m in modules if isinstance(m, torch.nn.ConvTranspose2d)]
    kept = ("norm", last, "mask_token", *transposed)
    assert all(any(name in key for name in kept) for key in full), full
    assert f"downstream_head1.{last}.weight" in full
    reference, query = tokens(exact, LANDSCAPE, LANDSCAPE).split(1)
    outputs = []
    for model in (exact, half):
        decoded = model.decode(reference, query, LANDSCAPE, LANDSCAPE)
        points = model.points(model.point_levels(reference, decoded.levels), LANDSCAPE)[0]
        outputs.append((decoded.query.descriptors, points))
        assert {x.dtype for x in outputs[-1]} == {torch.float32}
    (descriptors, points), (close, near) = outputs
    assert (descriptors * close).sum(-1).mean() > 0.99
    error = (points - near).norm(dim=-1) / points.norm(dim=-1)
    assert error.median() < 0.05


def test_rotation_depends_on_relative_position_alone() -> None:
    grid, width = (5, 7), 16
    tables = rotary_tables(grid, width, 100.0, torch.device("cpu"))
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 1, 1, width).expand(2, 1, 35, 1, width)
    scores = rotate(query, tables.query)[0, :, 0] @ rotate(key, tables.key)[0, :, 0].T
    # Token (1, 2) looks at (3, 3) as (0, 1) looks at (2, 2).
    torch.testing.assert_close(scores[9, 24], scores[1, 16])
    assert not torch.isclose(scores[9, 24], scores[24, 9])


def test_tables_are_made_once_in_the_type_of_the_tokens() -> None:
    arguments = ((3, 4), 16, 100.0, torch.device("cpu"))
    exact, half = (rotary_tables(*arguments, kind) for kind in (torch.float32, torch.float16))
    assert exact is rotary_tables(*arguments, torch.float32)
    assert {table.cos.dtype for table in half} == {torch.float16}
    torch.testing.assert_close(exact.query.cos, exact.key.cos / 4)  # the scale of the attention
    torch.testing.assert_close(half.key.sin.float(), exact.key.sin, rtol=0, atol=2.0**-11)
    x = torch.ones(1, 12, 1, 16, dtype=torch.float16)
    assert rotate(x, half.key).dtype == rotate(x, exact.key).dtype == torch.float16


def test_sizes_that_do_not_fit_are_refused(model: MAST3R) -> None:
    with pytest.raises(ValueError, match=r"50x32 px.*multiples of the 8 px patch"):
        model.encode(torch.zeros(1, 3, 32, 50))
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        model.encode(torch.zeros(3, 32, 48))
    reference, query = tokens(model, LANDSCAPE, LANDSCAPE).split(1)
    with pytest.raises(ValueError, match="query tokens have shape"):
        model.decode(reference, query, LANDSCAPE, ImageSize(32, 32))
    with pytest.raises(ValueError, match=r"reference tokens have shape .* 32x32 px"):
        model.decode(reference, query, ImageSize(32, 32), LANDSCAPE)


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
