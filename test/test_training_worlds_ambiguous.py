# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered places with two right answers: that both are right, and that a tell-tale differs."""

import numpy as np
import pytest

from mast3r_ros.common.size import ImageSize
from mast3r_ros.geometry import transforms
from mast3r_ros.training.worlds.ambiguous import KINDS, TWIN_OFFSET, AmbiguousWorld

pytest.importorskip("moderngl")

_SIZE = ImageSize(160, 120)


def _world(kind, tell_tale):
    return AmbiguousWorld(kind, tell_tale, seed=3, size=_SIZE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_is_determined_by_its_index(kind):
    first, again, other = (_world(kind, True).scene(i, 2) for i in (0, 0, 1))
    assert len(first.queries) == 2
    for one, two in zip(first.queries, again.queries, strict=True):
        assert np.array_equal(one.image, two.image)
        assert np.array_equal(one.pose, two.pose)
    assert not np.array_equal(first.queries[0].image, other.queries[0].image)


@pytest.mark.parametrize("tell_tale", [False, True])
def test_twin_rooms_differ_by_their_tell_tale_alone(tell_tale):
    keyframes = _world("twin_rooms", tell_tale).scene(0, 1).keyframes
    half = len(keyframes) // 2
    for one, twin in zip(keyframes[:half], keyframes[half:], strict=True):
        assert np.allclose(twin.pose[:3, 3] - one.pose[:3, 3], TWIN_OFFSET)
        assert np.array_equal(one.depth, twin.depth, equal_nan=True)


def _ideal(world, index, turn=None):
    """The first query of a scene, rendered again without a camera's flaws, maybe turned."""
    photographs = []

    def view(rng, model, camera, pose):
        poses = [pose] if turn is None else [pose, turn @ pose]
        photographs.append([world.renderer.color(model, camera, p).astype(float) for p in poses])
        return type(world).view(world, rng, model, camera, pose)

    world.view = view
    scene = world.scene(index, 3)
    return scene, photographs[-3:]


@pytest.mark.parametrize("tell_tale", [False, True])
def test_the_cabinet_looks_the_same_from_behind_but_for_the_tell_tale(tell_tale):
    middle, half_turn = np.array([6.0, 6.0, 0.0]), np.diag([-1.0, -1.0, 1.0])
    turn = transforms.make(half_turn, middle - half_turn @ middle)
    _, photographs = _ideal(_world("two_sided", tell_tale), 0, turn)
    differences = [np.abs(front - behind).mean() for front, behind in photographs]
    if tell_tale:
        assert min(differences) > 0.5
    else:
        assert max(differences) < 0.1


@pytest.mark.parametrize("kind", ["poster", "floor"])
def test_everything_in_view_of_a_plane_lies_on_it_but_for_the_tell_tale(kind):
    normal, height = {
        "poster": (np.array([0.0, 1.0, 0.0]), 0.003),
        "floor": (np.array([0.0, 0.0, 1.0]), 0.003),
    }[kind]
    for tell_tale in (False, True):
        for view in _world(kind, tell_tale).scene(0, 3).queries:
            v, u = np.mgrid[0 : _SIZE.height, 0 : _SIZE.width].reshape(2, -1)
            points = view.camera.unproject(np.stack([u, v], 1).astype(float), view.depth[v, u])
            above = transforms.apply(view.pose, points) @ normal
            off = np.nanmean(above > height + 0.02)
            assert (off > 0.015) == tell_tale


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="twin_rooms"):
        AmbiguousWorld("labyrinth", False)
