# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The front end `mast3r` from coarse to fine, around an engine that sees where each pixel is."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from network_reference import TINY, random_network

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import DecodedPair, Encoded, EngineInfo, Pair
from mast3r_ros.engines.torch_engine import TorchEngine
from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import FrontEndError
from mast3r_ros.frontends.mast3r.description import Mast3rDescription
from mast3r_ros.frontends.mast3r.frontend import Mast3rFrontEnd
from mast3r_ros.frontends.mast3r.options import Mast3rOptions
from mast3r_ros.frontends.mast3r.points import points_at, taker
from mast3r_ros.frontends.mast3r.windows import NO_DETAIL, Windows, detail_of
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.pixels import PixelTransform
from mast3r_ros.matching.correspondences import Correspondences
from mast3r_ros.network.prediction import LocalFeatures, PointMap

SMALL_IMAGES = replace(TINY, image_size=64)
SHIFT = (7, 5)  # query pixel (x, y) shows what the reference shows at (x + 7, y + 5)
SLOPE = 0.01


class Surveyor:
    """An engine that reads from the colors where in the world a pixel is."""

    def __init__(self, rays: bool = False) -> None:
        self.config = replace(SMALL_IMAGES, rays=rays)
        self.notes: list[str] = []
        self.encoded: list[np.ndarray] = []
        self.decoded = 0
        self.spoil = False

    def encode(self, images: np.ndarray) -> np.ndarray:
        assert images.shape[1] == self.config.input_channels
        self.encoded.append(images[0])
        height, width = images.shape[2] // 16, images.shape[3] // 16
        tokens = np.full((1, height * width, 32), len(self.encoded) - 1, np.float32)
        return tokens * (np.nan if self.spoil else 1.0)

    def decode(self, pairs: Sequence[Pair]) -> list[DecodedPair]:
        self.decoded += len(pairs)
        return [DecodedPair(self._view(a), self._view(b), a, ()) for a, b in pairs]

    def points(self, decoded: Sequence[DecodedPair]) -> list[PointMap[np.ndarray]]:
        maps = []
        for pair in decoded:
            y, x = np.indices(pair.encoded.size.shape)
            points = np.stack([x, y, 2 + SLOPE * x], axis=-1).astype(np.float32)
            maps.append(PointMap(points, np.full(x.shape, 3.0, np.float32)))
        return maps

    def _view(self, encoded: Encoded) -> LocalFeatures[np.ndarray]:
        image = self.encoded[int(encoded.tokens[0, 0])]
        assert image.shape[1:] == encoded.size.shape
        # On a sphere, the nearest in place has the largest dot product.
        place = np.stack([image[0], image[1], np.ones(image.shape[1:])], axis=-1)
        place /= np.linalg.norm(place, axis=-1, keepdims=True)
        return LocalFeatures(place.astype(np.float32), np.full(image.shape[1:], 3.0, np.float32))

    def warm_up(self, sizes: Sequence[ImageSize]) -> None:
        pass

    def batch_for(self, count: int) -> int:
        return count

    def info(self) -> EngineInfo:
        return EngineInfo("surveyor", "fp32", "none", "c" * 64, None, 8, None, (), {})


def front_end(engine: object, **options: object) -> Mast3rFrontEnd:
    chosen = {"coarse_to_fine": True, "window_pairs": 30, "stride": 4, "border": 0, **options}
    return Mast3rFrontEnd(Mast3rOptions(**chosen), engine)  # type: ignore[arg-type]


def frame(width: int = 192, height: int = 144, shift: tuple[int, int] = (0, 0)) -> Frame:
    """Red says which x of the world a pixel shows, green which y."""
    y, x = np.indices((height, width))
    image = np.stack([x + shift[0], y + shift[1], np.zeros_like(x)], axis=-1).astype(np.uint8)
    camera = Camera(width, height, 200.0, 200.0, (width - 1) / 2, (height - 1) / 2)
    return Frame(image, camera)


def errors(found: Correspondences) -> np.ndarray:
    return np.linalg.norm(found.query_pixels + np.float32(SHIFT) - found.reference_pixels, axis=1)


@pytest.mark.parametrize("portrait", [False, True])
def test_matches_in_windows_land_where_they_belong(portrait: bool) -> None:
    size = (144, 192) if portrait else (192, 144)
    coarsely, finely = (front_end(Surveyor(), coarse_to_fine=on) for on in (False, True))
    (coarse,), (fine,) = (
        fe.match([fe.describe(frame())], fe.describe(frame(*size, SHIFT)))
        for fe in (coarsely, finely)
    )
    assert errors(coarse).max() > 0.5  # a third of the resolution
    np.testing.assert_allclose(errors(fine), 0, atol=1e-4)
    assert len(fine) > len(coarse)
    assert len(np.unique(np.rint(fine.reference_pixels), axis=0)) > 0.9 * len(fine)
    # Not one window alone: most of what the coarse matches cover.
    for side in (0, 1):
        assert np.ptp(fine.reference_pixels[:, side]) > 0.8 * np.ptp(
            coarse.reference_pixels[:, side]
        )


def test_points_are_those_of_the_whole_image() -> None:
    fe = front_end(Surveyor())
    (found,) = fe.match([fe.describe(frame())], fe.describe(frame(shift=SHIFT)))
    in_network = np.clip((found.reference_pixels[:, 0] + 0.5) / 3 - 0.5, 0, 63)
    np.testing.assert_allclose(found.reference_points[:, 2], 2 + SLOPE * in_network, atol=1e-5)
    ray = found.reference_points[:, :2] / found.reference_points[:, 2:]
    np.testing.assert_allclose(ray * 200 + (95.5, 71.5), found.reference_pixels, atol=1e-3)


def test_a_window_sees_the_rays_of_its_own_pixels() -> None:
    engine = Surveyor(rays=True)
    fe = front_end(engine)
    fe.match([fe.describe(frame())], fe.describe(frame()))
    assert len(engine.encoded) > 4
    for image in engine.encoded[2:]:
        for axis, middle in enumerate((95.5, 71.5)):
            place = np.rint((image[axis] * 0.5 + 0.5) * 255)
            np.testing.assert_allclose(image[3 + axis] * 200 + middle, place, atol=1e-3)


def test_windows_are_bounded_and_those_of_a_keyframe_encoded_once() -> None:
    engine = Surveyor()
    fe = front_end(engine, window_pairs=3)
    keyframe, first, second = (fe.describe(frame(shift=s)) for s in ((0, 0), SHIFT, (3, 2)))
    fe.match([keyframe], first)
    assert engine.decoded == 1 + 3
    kept = len(engine.encoded)
    assert kept - 3 <= 2 * 3
    fe.match([keyframe], first)
    assert len(engine.encoded) == kept
    # What is loaded from a map again is the same image.
    fe.match([Mast3rDescription(**keyframe.arrays())], first)
    assert len(engine.encoded) == kept
    fe.match([keyframe], second)
    assert kept < len(engine.encoded) <= kept + 2 * 3


def test_the_tokens_of_few_windows_are_kept() -> None:
    engine = Surveyor()
    fe = front_end(engine)
    keyframe, query = fe.describe(frame()), fe.describe(frame())
    windows = Windows(engine, most_kept=2)
    place = np.array([0, 0, 64, 48])
    for left in (0, 32, 64, 32, 0):  # the last one is the only one that was dropped meanwhile
        windows._encoded(keyframe, place + np.array([left, 0] * 2))
    assert len(engine.encoded) == 2 + 4
    windows._encoded(query, place + np.array([0, 24] * 2))
    assert len(engine.encoded) == 2 + 5


def test_without_detail_in_both_the_coarse_matches_stay() -> None:
    fe = front_end(Surveyor())
    large, small = fe.describe(frame()), fe.describe(frame(64, 48))
    assert small.detail.shape == NO_DETAIL.shape
    off = front_end(fe.network, coarse_to_fine=False)
    (found,), (expected,) = fe.match([large], small), off.match([large], small)
    np.testing.assert_array_equal(found.query_pixels, expected.query_pixels)
    assert off.describe(frame()).detail.shape == NO_DETAIL.shape


@pytest.mark.parametrize(
    ("size", "times"), [((64, 48), 0), ((108, 81), 0), ((112, 84), 2), ((256, 144), 3)]
)
def test_detail_goes_with_the_size_of_the_image(size: tuple[int, int], times: int) -> None:
    description = front_end(Surveyor()).describe(frame(*size))
    expected = times * description.size[::-1] if times else (0, 0)
    assert description.detail.shape == (*expected, 3)


def test_detail_shows_what_the_network_saw() -> None:
    image = frame(200, 150).image
    to_original = PixelTransform((2.0, 2.0), (20.5, 10.5))
    detail = detail_of(image, to_original, ImageSize(64, 48))
    np.testing.assert_array_equal(detail, image[10 : 10 + 96, 20 : 20 + 128])


def test_points_between_pixels() -> None:
    y, x = np.indices((4, 5), np.float32)
    points = np.stack([x, y, 2 + 0.1 * x + 0.05 * y], axis=-1)
    pixels = np.array([[0, 0], [1.5, 2.25], [4, 3], [-0.4, 3.4]])
    inside = np.clip(pixels, 0, (4, 3))
    expected = np.column_stack([inside, 2 + inside @ (0.1, 0.05)])
    seen = ImageSize(5, 4)
    np.testing.assert_allclose(points_at(taker(points), seen, pixels), expected, atol=1e-6)
    points[:, 3:, 2] += 5  # an edge: nothing between it and what is behind
    np.testing.assert_allclose(
        points_at(taker(points), seen, np.array([[2.4, 1], [2.6, 1]]))[:, 2],
        [2.25, 7.35],
        atol=1e-6,
    )
    points[1, 1] = np.nan
    found = points_at(taker(points), seen, np.array([[1, 1], [1.4, 1.2], [0.4, 0.4]]))
    np.testing.assert_array_equal(np.isnan(found[:, 2]), [True, True, False])
    np.testing.assert_allclose(found[2], points[0, 0])
    alone = points_at(taker(points[:1, :1]), ImageSize(1, 1), np.array([[0.3, 0.2]]))
    assert alone.shape == (1, 3)


def test_windows_that_are_not_finite_are_refused() -> None:
    engine = Surveyor()
    fe = front_end(engine)
    keyframe, query = fe.describe(frame()), fe.describe(frame())
    engine.spoil = True
    with pytest.raises(FrontEndError, match="tokens are not finite"):
        fe.match([keyframe], query)


def test_the_fingerprint_says_whether_detail_is_kept() -> None:
    on, off = (front_end(Surveyor(), coarse_to_fine=on).fingerprint for on in (True, False))
    assert on == off + "-fine"


def test_a_network_runs_on_windows() -> None:
    fe = front_end(TorchEngine(random_network(SMALL_IMAGES)), window_pairs=2, border=1)
    rng = np.random.default_rng(0)
    keyframe, query = (
        fe.describe(Frame(rng.integers(0, 255, (*size, 3)).astype(np.uint8)))
        for size in ((144, 192), (192, 144))
    )
    (found,) = fe.match([keyframe], query)
    assert len(found) > 0
    for pixels, (width, height) in (
        (found.reference_pixels, (192, 144)),
        (found.query_pixels, (144, 192)),
    ):
        assert (pixels >= 0).all()
        assert (pixels <= (width - 1, height - 1)).all()
    assert np.isfinite(found.reference_points).all()
