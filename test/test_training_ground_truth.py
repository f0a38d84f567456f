# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What is true of a pair: where pixels lie in meters, and which of them see the same point."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_pairs import batch, make_pair

from mast3r_ros.common.size import ImageSize
from mast3r_ros.training.ground_truth import (
    Batch,
    correspondences,
    reference_points,
    transform,
    unproject,
)
from mast3r_ros.training.sampling import draw

_SIZE = ImageSize(64, 48)


def _reprojected(some: Batch, found) -> np.ndarray:
    """How far the reference's points fall from the query's pixels they are matched to [px]."""
    width = some.images.shape[-1]
    own = unproject(some.depth[0], some.intrinsics[0])
    there = transform(some.relative.inverse(), own).flatten(1, 2)[found.pair, found.reference]
    fx, fy, cx, cy = some.intrinsics[1][found.pair].unbind(-1)
    u = fx * there[:, 0] / there[:, 2] + cx
    v = fy * there[:, 1] / there[:, 2] + cy
    return torch.maximum((u - found.query % width).abs(), (v - found.query // width).abs()).numpy()


@pytest.mark.parametrize("portrait", [False, True])
def test_correspondences_reproject_within_half_a_pixel(portrait):
    some = batch(6, portrait)
    found = correspondences(some)
    assert torch.bincount(found.pair, minlength=6).min() > 300
    assert _reprojected(some, found).max() < 0.5 + 1e-3


def test_correspondences_are_one_to_one_and_the_same_from_either_side():
    some = batch()
    found = correspondences(some)
    for pixels in (found.reference, found.query):
        assert len(torch.unique(torch.stack((found.pair, pixels)), dim=1)[0]) == len(pixels)
    swapped = Batch(
        some.images.flip(0),
        some.depth.flip(0),
        some.intrinsics.flip(0),
        some.relative.inverse(),
        some.changed.flip(0),
        some.overlap,
    )
    back = correspondences(swapped)
    forth = set(zip(*(x.tolist() for x in (found.pair, found.reference, found.query)), strict=True))
    other = set(zip(*(x.tolist() for x in (back.pair, back.query, back.reference)), strict=True))
    # A projection right between two pixels may be rounded either way.
    assert len(forth ^ other) < 0.01 * len(forth)


def test_a_point_hidden_from_the_query_has_no_match():
    some = batch(1)
    # Something stands right before the query's camera.
    some.depth[1] = 0.2
    assert len(correspondences(some).pair) == 0


@pytest.mark.parametrize("view", [0, 1])
def test_what_was_moved_between_the_views_has_no_match(view):
    some = batch(1)
    before = correspondences(some)
    columns = _SIZE.width // 2
    some.changed[view, :, :, :columns] = True
    found = correspondences(some)
    assert 0 < len(found.pair) < len(before.pair)
    pixels = (found.reference, found.query)[view]
    assert (pixels % _SIZE.width >= columns).all()


def test_unknown_depth_has_no_match_and_no_point():
    some = batch(1)
    some.depth[0, :, :10] = torch.nan
    found = correspondences(some)
    assert (found.reference // 64 >= 10).all()
    assert torch.isnan(reference_points(some)[0][0, :10]).all()
    assert torch.isfinite(reference_points(some)[1]).all()


def test_both_views_points_are_in_the_reference_frame():
    some = batch()
    found = correspondences(some)
    one, two = (points.flatten(1, 2) for points in reference_points(some))
    gap = one[found.pair, found.reference] - two[found.pair, found.query]
    # Half a pixel at three meters.
    assert gap.norm(dim=-1).median() < 0.03


@given(st.integers(0, 10_000), st.integers(1, 200), st.integers(0, 8))
def test_drawn_matches_are_true_and_mismatches_are_not(seed, count, near):
    some = batch(2)
    found = correspondences(some)
    drawn = draw(found, 2, _SIZE, count, near, torch.Generator().manual_seed(seed))
    truth = set(zip(*(x.tolist() for x in (found.pair, found.reference, found.query)), strict=True))
    matched = {(p, r) for p, r, _ in truth}
    for pair in range(2):
        for true, r, q in zip(
            drawn.true[pair],
            drawn.reference[pair].tolist(),
            drawn.query[pair].tolist(),
            strict=True,
        ):
            assert ((pair, r, q) in truth) if true else ((pair, r) not in matched)
    assert drawn.near.shape == (2, count, near)
    assert drawn.near.min() >= 0 if near else True
    assert (drawn.near < 48 * 64).all()
    off = drawn.near != drawn.query[..., None]
    assert (off | ~drawn.near_wrong).all()


def test_a_pair_without_correspondences_gives_mismatches_alone():
    some = batch(2)
    some.depth[1, 0] = 0.2
    drawn = draw(
        correspondences(some), 2, ImageSize(64, 48), 32, 4, torch.Generator().manual_seed(0)
    )
    assert not drawn.true[0].any()
    assert drawn.true[1].any()
    some.depth[1] = 0.2
    drawn = draw(
        correspondences(some), 2, ImageSize(64, 48), 32, 4, torch.Generator().manual_seed(0)
    )
    assert not drawn.true.any()


def test_relative_pose_takes_the_querys_points_into_the_reference():
    pair, some = make_pair(0), batch(1)
    expected = np.linalg.inv(pair.reference.pose) @ pair.query.pose
    np.testing.assert_allclose(some.relative[0].numpy(), expected, atol=1e-6)
