# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node under a camera that never rests."""

import pytest

pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")

from bench.node import cycle, flat, measure

# Other tests run the same lines of the node.
pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.no_cover]


def test_memory_does_not_grow_under_load():
    figures = measure(seconds=20.0, quiet_images=3, tight=True)

    assert figures.localized > 0
    assert figures.sent > figures.answered
    # A quarter lasts five seconds, with nine answered images or more: were they kept (0.9 MiB), it
    # would grow by 8 MiB. Without a leak, it grew by up to 3.
    assert figures.growth < 6.0


def test_nothing_piles_up_over_lifecycles():
    found = cycle(20)

    assert [number for number, _ in found] == [1, 2, 10, 20]
    assert flat(found), "\n".join(f"{number}: {footprint}" for number, footprint in found)
