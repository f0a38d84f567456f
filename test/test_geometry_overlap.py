# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where depth and poses reproject a pixel, and how much two views share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import ROOM, camera_pose, make_camera, render

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.overlap import (
    covisibility,
    depth_at,
    overlap,
    reproject,
    seen_again,
    sees_from_beside,
)

CAMERA = Camera(40, 30, 30.0, 30.0, 19.5, 14.5)


@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(1.0, 5.0), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_depth_between_the_pixels_of_a_plane_is_exact(slope_x, slope_y, distance, seed):
    """The plane z = distance + slope_x x + slope_y y, seen through each pixel's ray."""
    normal = np.array([-slope_x, -slope_y, 1.0])

    def on_plane(pixels):
        rays = np.column_stack([CAMERA.normalize(pixels), np.ones(len(pixels))])
        return distance / (rays @ normal)

    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    depth = on_plane(np.column_stack([u.ravel(), v.ravel()])).reshape(u.shape)
    pixels = np.random.default_rng(seed).uniform(0, (39, 29), (20, 2))

    np.testing.assert_allclose(depth_at(depth, pixels), on_plane(pixels), rtol=1e-9)


def test_depth_is_unknown_on_edges_outside_and_beside_holes():
    depth = np.full((5, 6), 2.0)
    depth[:, 3:] = 3.0
    depth[4, 0] = np.nan
    depth[0, 5] = 0.0

    known = depth_at(depth, [(1, 1), (2, 4), (3, 2), (2.5, 2), (0.5, 3.5), (-0.1, 2), (5, 0)])

    np.testing.assert_array_equal(known, [2.0, 2.0, 3.0, np.nan, np.nan, np.nan, np.nan])


def test_a_carried_pixel_is_where_the_scene_is_seen():
    """A wall 2 m ahead, and a camera that moves 0.1 m to the right: f b / z pixels to the left."""
    depth = np.full((30, 40), 2.0, np.float32)
    moved = transforms.inverse(camera_pose(x=0.1))

    there = reproject([(10.25, 7.5), (0.0, 0.0)], depth, CAMERA, CAMERA, moved)

    np.testing.assert_allclose(there, [(8.75, 7.5), (-1.5, 0.0)])


def test_what_lies_behind_the_query_is_nowhere():
    depth = np.full((30, 40), 2.0, np.float32)

    there = reproject([(10, 10)], depth, CAMERA, CAMERA, transforms.inverse(camera_pose(z=2.5)))

    assert np.isnan(there).all()


def test_a_view_shares_everything_with_itself():
    _, depth = render(camera_pose(), world=ROOM)
    camera = make_camera()

    assert overlap(depth, depth, camera, camera, np.eye(4)) == 1.0


@pytest.mark.parametrize("part", [0.25, 0.5, 0.75])
def test_what_is_cut_off_is_not_shared(part):
    """A wall 2 m ahead, passed sideways by a part of what is seen of it."""
    camera = make_camera()
    _, depth = render(camera_pose())
    moved = transforms.inverse(camera_pose(x=(1 - part) * camera.width / camera.fx * 2.0))

    assert overlap(depth, depth, camera, camera, moved) == pytest.approx(part, abs=0.02)


def test_what_is_hidden_is_not_shared():
    """The left half of the query looks at a board in front of the wall."""
    _, wall = render(camera_pose())
    camera, hidden = make_camera(), wall.copy()
    hidden[:, : camera.width // 2] = 1.0

    assert covisibility(wall, hidden, camera, camera, np.eye(4)) == pytest.approx(0.5, abs=0.02)


def test_the_lesser_side_counts_where_one_view_is_a_detail_of_the_other():
    """From half the distance, a quarter of the wall."""
    camera = make_camera()
    _, far = render(camera_pose())
    _, near = render(camera_pose(z=1.0))
    motion = transforms.inverse(camera_pose(z=1.0))

    assert covisibility(near, far, camera, camera, transforms.inverse(motion)) > 0.98
    assert overlap(far, near, camera, camera, motion) == pytest.approx(0.25, abs=0.02)


def test_unknown_depth_is_not_counted():
    camera = make_camera()
    _, wall = render(camera_pose())
    holes = wall.copy()
    holes[: camera.height // 2] = np.nan
    nothing = np.full_like(wall, np.nan)

    assert overlap(wall, holes, camera, camera, np.eye(4)) == 1.0
    assert overlap(wall, nothing, camera, camera, np.eye(4)) == 0.0


def test_points_are_seen_again_hidden_cut_off_or_unknown():
    """A wall 2 m ahead; the query stands 0.1 m aside, and a pole hides one of its columns."""
    camera = Camera(20, 10, 20.0, 20.0, 9.5, 4.5)
    wall = np.full((10, 20), 2.0)
    query_depth = wall.copy()
    query_depth[:, 4] = 1.0
    query_depth[:, 7] = np.nan
    aside = transforms.make(np.eye(3), [-0.1, 0.0, 0.0])  # one pixel to the left
    pixels = [[3, 2], [5, 2], [8, 2], [0, 2]]

    there, judged, seen = seen_again(pixels, wall, query_depth, camera, camera, aside, 0.05)

    np.testing.assert_allclose(there, [[2, 2], [4, 2], [7, 2], [-1, 2]])
    assert judged.tolist() == [True, True, False, True]
    assert seen.tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("pose", "beside"),
    [
        (camera_pose(0.5, turn=-0.2), True),
        (camera_pose(3.0, 0.0, 3.0, turn=-np.pi / 2), False),  # at a right angle
        (camera_pose(0.0, 0.0, 6.0, turn=np.pi), False),  # from behind
        (camera_pose(turn=np.pi / 2), False),  # looks away
    ],
)
def test_things_are_seen_from_beside_or_from_another_side(pose, beside):
    """Things 3 m ahead of a camera at the origin."""
    points = np.random.default_rng(0).uniform((-1, -1, 2.8), (1, 1, 3.2), (50, 3))

    assert sees_from_beside(pose, np.eye(4), points) == beside


def test_who_sees_nothing_is_beside_nobody():
    assert not sees_from_beside(np.eye(4), np.eye(4), np.zeros((0, 3)))
