# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How likely a pose is that of the right place, and how that is fitted."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from bench.confidence import fit
from mast3r_ros.localization.confidence import WEIGHTS, Signs

_WEAK = Signs(ratio=1.0, keyframes=1, evidence=3.0)


@pytest.mark.parametrize("more", [{"ratio": 2.0}, {"keyframes": 4}, {"evidence": np.inf}], ids=str)
def test_what_speaks_for_a_pose_makes_it_more_likely(more):
    assert replace(_WEAK, **more).probability > _WEAK.probability


def test_a_place_that_is_not_told_apart_is_less_likely_than_one_that_just_is():
    assert replace(_WEAK, evidence=0.0).probability < _WEAK.probability


def test_what_is_likely_and_what_is_not():
    strong = Signs(ratio=2.5, keyframes=3, evidence=np.inf)
    chance = Signs(ratio=0.1, keyframes=1, evidence=0.0)

    assert strong.probability > 0.99
    assert chance.probability < 0.1
    assert 0.0 < Signs(0.0, 0, 0.0).probability < 0.1


def test_the_weights_that_made_the_poses_are_found():
    random = np.random.default_rng(0)
    signs = [
        Signs(np.exp(random.normal()), random.integers(1, 5), 1.0 / random.uniform(0.1, 1))
        for _ in range(4000)
    ]
    likely = expit(np.array([s.features for s in signs]) @ WEIGHTS)
    poses = [(s, bool(r), True) for s, r in zip(signs, random.random(4000) < likely, strict=True)]

    found = expit(np.array([s.features for s in signs]) @ fit(poses))

    np.testing.assert_allclose(found, likely, atol=0.08)
