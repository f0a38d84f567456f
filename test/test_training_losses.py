# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Each loss against values computed by hand, and their gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_pairs import RECIPE, SMALL, batch

from mast3r_ros.training import losses
from mast3r_ros.training.losses import Matches
from mast3r_ros.training.objective import Objective
from mast3r_ros.training.schedule import learning_rate
from mast3r_ros.training.start import new_network


def test_points_are_compared_by_the_logarithm_of_their_length():
    truth = torch.tensor([[0.0, 0.0, math.e - 1]])
    guess = torch.tensor([[0.0, 0.0, math.e**1.5 - 1]])
    assert losses.point_errors(guess, truth).item() == pytest.approx(0.5, abs=1e-5)
    across = torch.tensor([[0.0, math.e - 1, 0.0]])
    assert losses.point_errors(across, truth).item() == pytest.approx(math.sqrt(2), abs=1e-5)


@given(st.floats(1.05, 3.0), st.floats(20.0, 60.0))
def test_too_near_costs_as_much_as_too_far(factor, distance):
    truth = torch.tensor([[0.0, 0.0, distance]])
    near, far = (losses.point_errors(truth * f, truth).item() for f in (1 / factor, factor))
    assert near == pytest.approx(far, rel=0.1)


def test_unknown_points_cost_nothing_and_have_no_gradient():
    guess = torch.ones(2, 3, requires_grad=True)
    truth = torch.tensor([[torch.nan] * 3, [1.0, 1.0, 1.0]])
    errors = losses.point_errors(guess, truth)
    errors.sum().backward()
    assert errors[0] == 0
    assert torch.isfinite(guess.grad).all()
    assert (guess.grad[0] == 0).all()


def test_confident_loss_by_hand():
    errors, confidence = torch.tensor([0.5, 1.0, 9.0]), torch.tensor([2.0, 1.0, 5.0])
    known = torch.tensor([True, True, False])
    expected = ((2 * 0.5 - 0.2 * math.log(2)) + 1.0) / 2
    assert losses.confident_loss(errors, confidence, known, 0.2).item() == pytest.approx(expected)


def test_the_best_confidence_is_alpha_over_the_error():
    confidence = torch.linspace(1, 8, 7001)
    loss = confidence * 0.05 - 0.2 * confidence.log()
    assert confidence[loss.argmin()].item() == pytest.approx(0.2 / 0.05, abs=2e-3)


def _matches(true, near=0):
    count = len(true)
    index = torch.arange(count)[None]
    return Matches(
        index,
        index,
        torch.tensor([true]),
        torch.zeros(1, count, near, dtype=torch.long),
        torch.ones(1, count, near, dtype=torch.bool),
    )


def test_match_loss_by_hand():
    # Two matches at right angles: each scores 1 with itself and 0 with the other.
    descriptors = torch.eye(2)[None]
    found = losses.match_losses(
        descriptors, descriptors, torch.zeros(1, 2, 0, 2), _matches([True, True]), 0.5
    )
    expected = math.log(math.exp(2) + 1) - 2
    torch.testing.assert_close(found, torch.full((1, 2), expected))


def test_a_near_negative_that_looks_alike_costs_log_two_one_way():
    descriptors = torch.tensor([[[1.0, 0.0]]])
    near = torch.tensor([[[[1.0, 0.0]]]])
    matches = _matches([True], near=1)
    found = losses.match_losses(descriptors, descriptors, near, matches, 0.07)
    assert found.item() == pytest.approx(math.log(2) / 2)
    matches.near_wrong[:] = False
    assert losses.match_losses(descriptors, descriptors, near, matches, 0.07).item() == 0


def test_mismatches_compete_but_are_not_drawn_together():
    descriptors = torch.eye(3)[None]
    found = losses.match_losses(
        descriptors, descriptors, torch.zeros(1, 3, 0, 3), _matches([True, False, True]), 1.0
    )
    expected = math.log(math.e + 2) - 1
    torch.testing.assert_close(found, torch.tensor([[expected, math.log(3), expected]]))
    mean = losses.match_loss(found, torch.tensor([[True, False, True]]))
    assert mean.item() == pytest.approx(expected)


def test_match_confidence_learns_one_over_the_loss():
    each = torch.tensor([[0.25, 4.0]])
    raw = torch.zeros(2, 1, 2, requires_grad=True)
    optimizer = torch.optim.Adam([raw], 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        losses.match_confidence_loss(each, raw).backward()
        optimizer.step()
    torch.testing.assert_close(raw.mean(0).exp(), 1 / each, rtol=1e-2, atol=0)


def test_learning_rate_by_hand():
    def rate(step):
        return learning_rate(step, 110, 1.0, 10)

    assert rate(0) == pytest.approx(0.1)
    assert rate(9) == pytest.approx(1.0)
    assert rate(10) == pytest.approx(1.0)
    assert rate(60) == pytest.approx(0.02 + 0.98 / 2)
    assert rate(110) == pytest.approx(0.02)
    assert rate(500) == pytest.approx(0.02)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("blind", [False, True])
def test_gradients_are_finite(half, blind):
    model = new_network(SMALL, 0)
    some = batch()
    if blind:  # nothing in common, and depth unknown
        some.depth[:] = torch.nan
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        parts = Objective(model, RECIPE)(some, torch.Generator().manual_seed(0))
    parts["loss"].backward()
    assert all(torch.isfinite(value) for value in parts.values())
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all(), name


def test_a_new_network_sees_its_views_alike():
    model = new_network(SMALL, 0)
    assert model.downstream_head1.head_local_features is model.downstream_head2.head_local_features
    for one, two in zip(model.dec_blocks.parameters(), model.dec_blocks2.parameters(), strict=True):
        assert one is not two
        assert torch.equal(one, two)
