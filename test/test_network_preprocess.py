# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Preprocessing equals the published one, and leads back to the original pixels."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_reference import golden
from PIL import Image

from mast3r_ros.common.size import ImageSize
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.network import MAST3RConfig
from mast3r_ros.network.preprocess import network_size, preprocess, read_image
from mast3r_ros.training.data import network_input
from mast3r_ros.training.worlds import View

NANO = MAST3RConfig(patch_size=8, rays=True, image_size=128)
SIZES = ["640x480", "540x720", "1280x720", "720x1280", "848x480", "1920x1200"]
SIZES += ["500x500", "512x384", "300x200", "1024x333", "640x400", "4032x3024"]


def sample(width: int, height: int) -> np.ndarray:
    return ((np.arange(height * width * 3) * 7) % 251).astype(np.uint8).reshape(height, width, 3)


@pytest.mark.parametrize("name", SIZES)
def test_golden_sizes_crops_and_values(name: str) -> None:
    expected = json.loads(golden("preprocess.json").read_text())[name]
    width, height = (int(side) for side in name.split("x"))
    result = preprocess(sample(width, height))
    assert list(result.size) == expected["net"]
    assert network_size(ImageSize(width, height)) == result.size
    # The network's first pixel center, in the resized image, is the crop's corner.
    corner = result.to_original.apply(np.zeros((1, 2)))
    resized = np.array(expected["resized"])
    left_top = (corner[0] + 0.5) * resized / (width, height) - 0.5
    np.testing.assert_allclose(left_top, [expected["crop_left"], expected["crop_top"]], atol=1e-9)
    assert result.values.mean() == pytest.approx(expected["mean"], abs=1e-5)
    assert result.values.std() == pytest.approx(expected["std"], abs=1e-5)


@given(st.integers(64, 2000), st.integers(64, 2000), st.sampled_from([8, 16]))
def test_network_size_is_whole_patches(height: int, width: int, patch: int) -> None:
    size = network_size(ImageSize(width, height), MAST3RConfig(patch_size=patch))
    assert all(side % patch == 0 and 0 <= side <= 512 for side in size)


def test_way_back_follows_a_feature() -> None:
    image = np.zeros((720, 1280, 3), np.uint8)
    image[200:212, 900:912] = 255
    result = preprocess(image)
    weight = result.values[0].astype(np.float64) + 1
    rows, columns = np.indices(weight.shape)
    center = np.array([[(weight * columns).sum(), (weight * rows).sum()]]) / weight.sum()
    # Only the filter's rounding to whole gray levels is left.
    np.testing.assert_allclose(result.to_original.apply(center), [[905.5, 205.5]], atol=0.05)


@given(
    st.sampled_from([(640, 480), (480, 640), (1280, 720), (500, 500), (100, 75)]),
    st.sampled_from([(), (-0.3, 0.1, 0.001, 0.002, 0.0)]),
    st.integers(0, 20),
)
@settings(max_examples=20, deadline=None)
def test_rays_are_those_of_the_original_camera(
    shape: tuple[int, int], distortion: tuple[float, ...], seed: int
) -> None:
    """A point seen along a network pixel's ray is projected to that pixel of the original."""
    width, height = shape
    camera = Camera(
        width, height, 0.9 * width, 0.95 * width, 0.48 * width, 0.53 * height, distortion
    )
    result = preprocess(sample(width, height), NANO, camera)
    assert result.values.shape == (5, *result.size.shape)
    assert max(result.size) == 128
    rng = np.random.default_rng(seed)
    columns, rows = (rng.integers(0, side, 10) for side in result.size)
    rays = result.values[3:, rows, columns].T
    seen = camera.project(3.0 * np.column_stack([rays, np.ones(10)]))
    pixels = result.to_original.apply(np.column_stack([columns, rows]))
    np.testing.assert_allclose(seen, pixels, atol=0.01)


@pytest.mark.parametrize(("width", "height"), [(128, 96), (96, 128)])
def test_a_network_is_used_as_it_was_trained(width: int, height: int) -> None:
    """What the trainer makes of a rendered view is what a robot makes of an image of that size."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (height, width, 3)).astype(np.uint8)
    camera = Camera(width, height, 110.0, 112.0, 0.47 * width, 0.51 * height)
    view = View(image, np.ones((height, width), np.float32), camera, np.eye(4))
    np.testing.assert_allclose(
        preprocess(image, NANO, camera).values, network_input(view), atol=1e-6
    )


def test_rays_where_the_lens_has_none_are_numbers() -> None:
    wide = Camera(640, 480, 200.0, 200.0, 320.0, 240.0, (0.1, 0.0, 0.0, 0.0), "equidistant")
    assert np.isnan(wide.normalize([[0.0, 0.0]])).any()
    values = preprocess(sample(640, 480), NANO, wide).values
    assert np.isfinite(values).all()


def test_rays_need_a_camera() -> None:
    with pytest.raises(ValueError, match="give the image's intrinsics"):
        preprocess(sample(640, 480), NANO)
    camera = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
    assert preprocess(sample(640, 480), camera=camera).values.shape == (3, 384, 512)


def test_refuses_what_is_no_image() -> None:
    with pytest.raises(ValueError, match="uint8 RGB"):
        preprocess(np.zeros((48, 64), np.uint8))
    with pytest.raises(ValueError, match="too narrow"):
        preprocess(np.zeros((10, 1000, 3), np.uint8))


def test_files_are_turned_upright(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: turn by 90 degrees clockwise
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    assert image.shape == (40, 20, 3)
    assert image[0, 0, 0] == 255
    assert image[-1, 0, 0] == 0
