# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which images become keyframes, and which are queries."""

from mast3r_ros.evaluation.run import every_nth, the_others


def test_every_third_is_mapped_from_an_offset():
    images = range(7)

    assert list(every_nth(images, 3, 1)) == [1, 4]
    assert list(the_others(images, 3, 1)) == [0, 2, 3, 5, 6]
    assert sorted([*every_nth(images, 2), *the_others(images, 2)]) == list(images)
