# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What other threads leave for the worker thread."""

import time
from concurrent.futures import CancelledError

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from mast3r_ros.ros.prior import Prior
from mast3r_ros.ros.requests import Belief, Requests

pytestmark = pytest.mark.ros


def _prior(age=0.0):
    return Prior(np.eye(4), np.eye(6), "base_link", time.monotonic() - age)


def test_a_prior_that_came_during_the_solve_outlives_it():
    belief = Belief()
    first, second = _prior(), _prior()
    belief.set(first)
    used = belief.get(max_age=30.0)
    belief.set(second)

    belief.used(used)
    assert belief.get(max_age=30.0) is second
    belief.used(second)
    assert belief.get(max_age=30.0) is None


def test_a_solve_with_a_request_s_own_prior_leaves_the_other_alone():
    belief = Belief()
    belief.set(own := _prior())

    belief.used(_prior())

    assert belief.get(max_age=30.0) is own


def test_an_old_prior_is_removed():
    belief = Belief()
    belief.set(_prior(age=31.0))

    assert belief.get(max_age=30.0) is None
    assert belief.get(max_age=60.0) is None


def test_an_image_answers_the_requests_that_came_before_it():
    requests: Requests[str] = Requests()
    early = requests.add(None)
    arrival = time.monotonic()
    late = requests.add(prior := _prior())

    assert [r.result for r in requests.take(arrival)] == [early]
    assert requests.take(arrival) == []
    (due,) = requests.take(time.monotonic())
    assert (due.result, due.prior) == (late, prior)


def test_those_that_wait_can_be_canceled():
    requests: Requests[str] = Requests()
    waiting = requests.add(None)

    requests.cancel()

    with pytest.raises(CancelledError):
        waiting.result(0)
    assert requests.take(time.monotonic()) == []
