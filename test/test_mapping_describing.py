# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images described in this process and on a cluster."""

from collections import deque

import numpy as np
import pytest
from evaluation_world import write_tum
from test_cli import run

from mast3r_ros.cli.maps import open_map
from mast3r_ros.common.cluster import Actors


class Pool:
    """Two workers, of which the later part is ready first."""

    def __init__(self):
        self.asked, self._waiting, self.most = [], deque(), 0

    def submit(self, call, part):
        self.asked.append(part)
        self._waiting.append(call("worker", part))
        self.most = max(self.most, len(self._waiting))

    def has_next(self):
        return bool(self._waiting)

    def get_next(self):
        return self._waiting.popleft()


def test_parts_come_back_in_order_and_only_a_few_are_taken_ahead():
    pool = Pool()
    found = Actors(2, pool).in_order(lambda _, part: 10 * part, iter(range(7)))

    assert next(found) == 0
    assert pool.asked == [0, 1, 2, 3]
    assert list(found) == [10, 20, 30, 40, 50, 60]
    assert pool.most == 4
    assert list(Actors(2, Pool()).in_order(lambda _, part: part, [])) == []


def test_a_map_built_on_a_cluster_is_that_of_one_process(tmp_path):
    pytest.importorskip("ray")
    walk = write_tum(tmp_path / "walk")
    command = ("map", "build", walk, "--front-end", "sift", "--every", 2)

    run(*command, "--out", tmp_path / "here")
    run(*command, "--out", tmp_path / "there", "--ray", "auto", "--workers", 2)

    here, there = open_map(tmp_path / "here"), open_map(tmp_path / "there")
    assert len(here) == len(there) > 3
    for one, other in zip(here, there, strict=True):
        assert (one.id, one.stamp) == (other.id, other.stamp)
        np.testing.assert_array_equal(one.pose, other.pose)
        ours, theirs = one.description.arrays(), other.description.arrays()
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name])
