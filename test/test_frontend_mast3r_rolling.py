# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rolled images, and the second look that matches them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from test_frontend_mast3r import Plane, frame, front_end

from mast3r_ros.engines.base import DecodedPair, Pair
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import has_second_matcher
from mast3r_ros.frontends.mast3r.rolling import Rolled
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.matching.correspondences import Correspondences

# Pixels that are not square, an axis off the middle, and a lens that distorts.
_CAMERA = Camera(160, 120, 140.0, 120.0, 75.0, 62.0, (-0.2, 0.05, 0.0, 0.0))


def _dot(camera: Camera, point: np.ndarray, size: int = 2) -> Frame:
    """A black image with a white square where a point is."""
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    x, y = np.rint(camera.project(point[None])[0]).astype(int)
    image[y - size : y + size + 1, x - size : x + size + 1] = 255
    return Frame(image, camera)


def _center(image: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(image[:, :, 0] > 127)
    return np.array([columns.mean(), rows.mean()])


@pytest.mark.parametrize("degrees", [45.0, -30.0])
def test_a_rolled_image_is_what_a_rolled_camera_sees(degrees):
    point = np.array([0.25, -0.1, 1.0])
    angle = np.deg2rad(degrees)
    turned = np.array(
        [
            np.cos(angle) * point[0] - np.sin(angle) * point[1],
            np.sin(angle) * point[0] + np.cos(angle) * point[1],
            1.0,
        ]
    )
    original = _dot(_CAMERA, point)

    rolled = Rolled.of(original, angle)

    seen = _center(rolled.frame.image)
    np.testing.assert_allclose(seen, _CAMERA.project(turned[None])[0], atol=0.7)
    assert rolled.frame.camera == _CAMERA
    none = np.full((1, 3), np.nan, np.float32)
    matches = Correspondences(
        np.zeros((1, 2), np.float32),
        seen[None].astype(np.float32),
        np.ones(1, np.float32),
        none,
        np.zeros(1, np.float32),
        metric=True,
    )
    back = rolled.unroll(matches).query_pixels[0]
    np.testing.assert_allclose(back, _center(original.image), atol=0.5)


def test_a_mask_covers_what_a_rolled_image_lacks():
    mask = np.ones((120, 160), bool)
    mask[:20] = False
    image = np.full((120, 160, 3), 200, np.uint8)

    for given, least, most in ((None, 0.70, 0.85), (mask, 0.55, 0.75)):
        rolled = Rolled.of(Frame(image, mask=given), np.deg2rad(45.0)).frame
        used = rolled.mask != 0
        assert not used[0, 0]
        assert used[60, 80]
        assert least < used.mean() < most
        assert (rolled.visible == 200).all()


@pytest.mark.parametrize("surest", [0, 1, 2])
def test_a_second_look_takes_the_roll_with_the_surest_matches(surest, monkeypatch):
    engine = Plane()
    fe, image = front_end(engine), frame()
    reference, query = fe.describe(image), fe.describe(image)
    (upright,) = fe.match([reference], query)
    decode = engine.decode

    def surer(pairs: Sequence[Pair]) -> list[DecodedPair]:
        """One of the pairs has surer matches."""
        decoded = decode(pairs)
        query = replace(decoded[surest].query, confidence=decoded[surest].query.confidence * 3)
        decoded[surest] = replace(decoded[surest], query=query)
        return decoded

    monkeypatch.setattr(engine, "decode", surer)
    engine.decoded = 0

    assert has_second_matcher(fe)
    found = next(fe.match_again([reference, reference], query, image))

    assert engine.decoded == 3  # the second reference was not asked for
    assert np.isfinite(found.reference_points).all()
    if surest == 0:
        np.testing.assert_array_equal(found.query_pixels, upright.query_pixels)
        return
    rolled = Rolled.of(image, np.deg2rad((-45.0, 45.0)[surest - 1]))
    inside = fe.describe(rolled.frame).uses((upright.query_pixels + 0.5) / 10 - 0.5)
    assert 10 < inside.sum() < len(upright)
    expected = rolled.unroll(upright.select(inside))
    np.testing.assert_allclose(found.query_pixels, expected.query_pixels, atol=1e-3)


def test_without_its_image_a_query_is_matched_as_it_is():
    engine = Plane()
    fe = front_end(engine)
    reference = fe.describe(frame())
    (upright,) = fe.match([reference], reference)
    (found,) = fe.match_again([reference], reference, None)
    np.testing.assert_array_equal(found.query_pixels, upright.query_pixels)
