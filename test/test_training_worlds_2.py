# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The second version of the worlds: curved things, places at two times, skies, cameras' flaws."""

import cv2
import numpy as np
import pytest
import torch
from test_training_worlds import _digest, _visible

from mast3r_ros.common.size import ImageSize
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.training.data import collate
from mast3r_ros.training.ground_truth import correspondences
from mast3r_ros.training.worlds import PairSource, cameras, curved, flaws, outdoors
from mast3r_ros.training.worlds.mesh import VERTEX_FLOATS, Material, Mesh
from mast3r_ros.training.worlds.palette import Palette
from mast3r_ros.training.worlds.places import Place, Thing
from mast3r_ros.training.worlds.renderer import Renderer
from mast3r_ros.training.worlds.room import LIGHTS
from mast3r_ros.training.worlds.sheet import correspondences as drawn
from mast3r_ros.training.worlds.textures import make_library

pytest.importorskip("moderngl")

_PLAIN = Material(0, (1.0, 1.0))
_CAMERA = Camera(64, 48, 40.0, 40.0, 31.5, 23.5)
_LIGHTS = np.zeros((LIGHTS, 6), np.float32), np.ones(3, np.float32)


@pytest.fixture(scope="module")
def source():
    return PairSource(5, size=ImageSize(96, 72), augment=0, version=2)


@pytest.fixture(scope="module")
def pairs(source):
    return [source.pair(i) for i in range(12)]


def test_correspondences_are_where_both_depths_say(pairs):
    assert len({_digest(pair) for pair in pairs}) == len(pairs)
    for pair in pairs:
        pixels, _ = _visible(pair)
        assert len(pixels) > 0.4 * pair.overlap * pair.reference.depth.size


def test_places_are_seen_at_two_times_and_what_moved_has_no_match(pairs):
    moved = [p for p in pairs if p.query.changed is not None and p.query.changed.any()]
    assert moved
    found = correspondences(collate(moved))
    changed = torch.from_numpy(np.stack([p.query.changed for p in moved])).flatten(1)
    assert len(found.pair) > 100
    assert not changed[found.pair, found.query].any()
    pixels, there = drawn(moved[0])
    assert not moved[0].reference.changed[pixels[:, 1].astype(int), pixels[:, 0].astype(int)].any()
    there = np.rint(there).astype(int)
    assert not moved[0].query.changed[there[:, 1], there[:, 0]].any()


@pytest.fixture(scope="module")
def renderer(source):
    return Renderer(make_library(5, "train", 2), smooth=True)


def test_a_thing_is_marked_where_it_is_seen_and_nothing_else(renderer):
    place = Place((8.0, 8.0, 3.0))
    place.fixed.box((-5, 13), (-5, 13), (-0.1, 0), _PLAIN)
    box = Mesh()
    box.box((3.5, 4.5), (3.5, 4.5), (0, 1), _PLAIN)
    place.things.append(Thing(box, Mesh(), (4.0, 4.0), np.array([3.5, 3.5, 4.5, 4.5])))
    down = cameras.look(np.array([4.0, 4.0, 6.0]), 0.0, -np.pi / 2 + 1e-3, 0.0)
    seen = []
    # A seed at which the box is pushed aside.
    for room in place.twice(np.random.default_rng(3), (_LIGHTS, _LIGHTS)):
        assert room.changed == len(box.vertices())
        model = renderer.load(room)
        depth = renderer.depth(model, _CAMERA, down)
        marked = renderer.changed(model, _CAMERA, down, depth)
        assert marked[depth < 5.9].all()
        # The floor is 6 m below.
        assert depth[~marked] == pytest.approx(6.0, abs=0.01)
        seen.append(marked)
    assert seen[0].sum() > 20
    assert not np.array_equal(*seen)


@pytest.mark.parametrize(
    "points",
    [
        curved.ball(0.5),
        curved.lathe([(0.3, 1.0), (0.5, 0.5), (0.2, 0.0)]),
        curved.tube([(0, 0, 1.0), (0, 0, 0.0)], 0.2),
        curved.tube([(1.0, 0, 0), (0, 0, 0)], 0.2),
    ],
)
def test_curved_surfaces_look_outwards(points):
    mesh = Mesh()
    mesh.grid(points, _PLAIN)
    faces = mesh.vertices().reshape(-1, 4, VERTEX_FLOATS)
    a, b, c = (faces[:, i, :3] for i in range(3))
    winding = np.cross(c - a, b - a)
    outwards = faces[..., :3].mean(1) - points.reshape(-1, 3).mean(0)
    for normal in (winding, faces[..., 3:6].mean(1)):
        assert (np.einsum("ni,ni->n", outwards, normal) > -1e-6).mean() > 0.95


def test_the_sky_has_colors_and_no_depth(renderer):
    rng = np.random.default_rng(0)
    yard = outdoors.make_yard(rng, Palette(make_library(5, "train", 2), rng, 0.0))
    model = renderer.load(yard.once(rng, outdoors.daylight(rng)))
    up = cameras.look(np.array([6.0, 6.0, 5.0]), 0.3, 1.2, 0.0)
    assert np.isnan(renderer.depth(model, _CAMERA, up)).mean() > 0.5
    assert renderer.color(model, _CAMERA, up).std(axis=(0, 1)).max() > 0.5


def test_motion_blur_is_as_long_as_it_may_be_and_moves_nothing():
    image = np.zeros((120, 160, 3), np.uint8)
    image[60, 80] = 255
    for seed in range(20):
        smeared = flaws._smear(np.random.default_rng(seed), image)[..., 0].astype(float)
        v, u = np.nonzero(smeared > 0)
        assert np.hypot(np.ptp(u), np.ptp(v)) <= 20 / 640 * 160 + 2 * np.sqrt(2)
        weight = smeared / smeared.sum()
        middle = (weight * np.arange(160)).sum(), (weight * np.arange(120)[:, None]).sum()
        assert middle == pytest.approx((80, 60), abs=0.3)


def test_what_bends_an_image_moves_pixels_by_less_than_a_hundredth():
    ramp = np.arange(160, dtype=np.uint8) + np.zeros((120, 1), np.uint8)
    image = np.repeat(ramp[..., None], 3, 2)
    bent = np.stack([flaws._bend(np.random.default_rng(i), image)[..., 0] for i in range(9)])
    assert 0 < np.abs(bent.astype(int) - ramp).max() <= 0.01 * 160


def test_photographs_are_the_same_at_every_run_and_stay_images():
    image = cv2.resize(np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8), (160, 120))
    found = [flaws.photograph(np.random.default_rng(i), image, 1.0) for i in (*range(12), 0)]
    assert np.array_equal(found[0], found[-1])
    for photograph in found:
        assert photograph.shape == image.shape
        assert photograph.dtype == np.uint8
        assert photograph.std() > 2
    # Strength 0 sets the exposure and nothing else.
    flat = np.full((8, 10, 3), 100, np.uint8)
    assert np.ptp(flaws.photograph(np.random.default_rng(0), flat, 0.0)) == 0


def test_an_unknown_version_is_refused():
    with pytest.raises(ValueError, match="version 3: known are 1, 2"):
        PairSource(0, version=3)
