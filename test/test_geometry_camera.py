# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Projection and its inverse under every distortion model, resizes and crops, bad intrinsics."""

import contextlib
import json
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mast3r_ros.geometry.camera import Camera, CameraError
from mast3r_ros.geometry.pixels import PixelTransform

_SIZE = (640, 480)
_K = [[520.0, 0.0, 318.0], [0.0, 510.0, 243.0], [0.0, 0.0, 1.0]]


def _floats(*limits: float) -> st.SearchStrategy:
    return st.tuples(*(st.floats(-limit, limit) for limit in limits))


# As strong as real lenses are, within the field of the points below.
_DISTORTIONS = st.one_of(
    st.just(("plumb_bob", ())),
    st.tuples(st.just("plumb_bob"), _floats(0.2, 0.05, 0.002, 0.002)),
    st.tuples(st.just("plumb_bob"), _floats(0.2, 0.05, 0.002, 0.002, 0.01)),
    st.tuples(
        st.just("rational_polynomial"), _floats(0.1, 0.05, 0.002, 0.002, 0.01, 0.1, 0.05, 0.01)
    ),
    st.tuples(st.just("equidistant"), _floats(0.05, 0.02, 0.01, 0.005)),
)
_RAYS = arrays(np.float64, (7, 2), elements=st.floats(-0.6, 0.6))


def _camera(model: str = "plumb_bob", distortion: tuple[float, ...] = ()) -> Camera:
    return Camera.from_matrix(_SIZE, _K, distortion, model)


@given(_DISTORTIONS, _RAYS, st.floats(0.1, 50.0))
def test_a_projected_ray_comes_back(lens, rays, depth):
    camera = _camera(*lens)
    points = np.column_stack([rays, np.ones(len(rays))]) * depth

    pixels = camera.project(points)

    np.testing.assert_allclose(camera.normalize(pixels), rays, atol=1e-6)
    np.testing.assert_allclose(camera.unproject(pixels, points[:, 2]), points, atol=1e-6 * depth)


@given(_floats(0.2, 0.05, 0.002, 0.002, 0.01), _RAYS)
def test_plumb_bob_is_the_model_of_the_books(distortion, rays):
    k1, k2, p1, p2, k3 = distortion
    x, y = rays.T
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    distorted = [
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        np.ones(len(x)),
    ]
    expected = (np.array(_K) @ distorted)[:2].T

    pixels = _camera("plumb_bob", distortion).project(np.column_stack([rays, np.ones(len(x))]))

    np.testing.assert_allclose(pixels, expected, atol=1e-6)


@given(_floats(0.1, 0.05, 0.002, 0.002, 0.01, 0.1, 0.05, 0.01), _RAYS)
def test_rational_polynomial_is_the_model_of_opencv(distortion, rays):
    k1, k2, p1, p2, k3, k4, k5, k6 = distortion
    x, y = rays.T
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    distorted = [
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        np.ones(len(x)),
    ]
    camera = _camera("rational_polynomial", distortion)

    pixels = camera.project(np.column_stack([rays, np.ones(len(x))]))

    np.testing.assert_allclose(pixels, (np.array(_K) @ distorted)[:2].T, atol=1e-6)


@given(_floats(0.05, 0.02, 0.01, 0.005), _RAYS)
def test_equidistant_is_the_model_of_kannala_and_brandt(distortion, rays):
    k1, k2, k3, k4 = distortion
    radius = np.hypot(*rays.T)
    theta = np.arctan(radius)
    bent = theta * (1 + k1 * theta**2 + k2 * theta**4 + k3 * theta**6 + k4 * theta**8)
    scale = np.divide(bent, radius, where=radius > 1e-9, out=np.ones_like(radius))
    distorted = np.column_stack([rays * scale[:, None], np.ones(len(rays))])
    camera = _camera("equidistant", distortion)

    pixels = camera.project(np.column_stack([rays, np.ones(len(rays))]))

    np.testing.assert_allclose(pixels, (distorted @ np.array(_K).T)[:, :2], atol=1e-6)


def test_what_is_behind_the_camera_is_seen_nowhere():
    points = [[0.1, 0.2, 1.0], [0.1, 0.2, -1.0], [0.1, 0.2, 0.0]]
    for camera in (_camera(), _camera("plumb_bob", (0.1, 0.0, 0.0, 0.0))):
        pixels = camera.project(points)
        assert np.isfinite(pixels).all(axis=1).tolist() == [True, False, False]
        assert np.isnan(camera.project([[0.0, 0.0, -1.0]])).all()


def test_no_pixels_have_no_rays():
    for camera in (_camera(), _camera("equidistant", (0.01, 0.0, 0.0, 0.0))):
        assert camera.normalize(np.zeros((0, 2))).shape == (0, 2)
        assert camera.project(np.zeros((0, 3))).shape == (0, 2)


def test_unknown_depth_gives_unknown_points():
    pixels = np.zeros((5, 2))

    points = _camera().unproject(pixels, [1.0, 0.0, -1.0, np.nan, np.inf])

    assert np.isfinite(points).all(axis=1).tolist() == [True, False, False, False, False]
    assert np.isnan(points[1:]).all()


def test_rays_beyond_80_degrees_are_of_no_use():
    f = 300.0
    fisheye = Camera(1000, 1000, f, f, 500.0, 500.0, (1e-6, 0.0, 0.0, 0.0), "equidistant")
    angles = np.deg2rad([0.0, 40.0, 75.0, 79.0, 81.0, 89.0, 95.0])

    rays = fisheye.normalize(np.column_stack([500.0 + f * angles, np.full(len(angles), 500.0)]))

    assert np.isfinite(rays).all(axis=1).tolist() == [True] * 4 + [False] * 3
    np.testing.assert_allclose(rays[:4, 0], np.tan(angles[:4]), rtol=1e-3)


def test_a_pixel_that_no_ray_reaches_has_none():
    # r (1 - 0.3 r^2) never exceeds 0.70.
    barrel = Camera(1200, 900, 500.0, 500.0, 600.0, 450.0, (-0.3, 0.0, 0.0, 0.0))

    rays = barrel.normalize([[600.0 + 500.0 * 0.5, 450.0], [600.0 + 500.0 * 1.0, 450.0]])

    assert np.isfinite(rays).all(axis=1).tolist() == [True, False]


_SIZES = st.tuples(st.integers(1, 4000), st.integers(1, 4000))


@given(_SIZES, _SIZES)
def test_a_resize_keeps_the_borders_of_the_image_in_place(old, new):
    transform = PixelTransform.resize(old, new)
    borders = [[-0.5, -0.5], [old[0] - 0.5, old[1] - 0.5]]

    moved = transform.apply(borders)

    np.testing.assert_allclose(moved, [[-0.5, -0.5], [new[0] - 0.5, new[1] - 0.5]], atol=1e-9)


@pytest.mark.parametrize("size", [(60, 40), (240, 160), (120, 200)])
def test_a_resize_moves_what_is_in_the_image_so(size):
    old = (120, 80)
    u, v = np.meshgrid(np.arange(old[0]), np.arange(old[1]))
    center = np.array([44.25, 31.5])
    blob = np.exp(-((u - center[0]) ** 2 + (v - center[1]) ** 2) / (2 * 5.0**2))

    resized = cv2.resize(blob, size, interpolation=cv2.INTER_LINEAR)
    u, v = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    centroid = np.array([(resized * u).sum(), (resized * v).sum()]) / resized.sum()

    np.testing.assert_allclose(PixelTransform.resize(old, size).apply(center), centroid, atol=0.02)


_STEPS = st.one_of(
    st.builds(PixelTransform.resize, _SIZES, _SIZES),
    st.builds(PixelTransform.crop, st.floats(-500, 500), st.floats(-500, 500)),
)


@given(_STEPS, _STEPS, arrays(np.float64, (3, 2), elements=st.floats(-1000, 1000)))
def test_transforms_chain_and_go_back(first, second, pixels):
    both = first.then(second)

    moved = both.apply(pixels)

    np.testing.assert_allclose(moved, second.apply(first.apply(pixels)), rtol=1e-9, atol=1e-6)
    scale = np.abs(moved).max() + 1.0
    np.testing.assert_allclose(
        both.inverse().apply(moved), pixels, atol=1e-9 * scale / min(both.scale) + 1e-6
    )


@given(_DISTORTIONS, _RAYS, st.integers(20, 2000), st.integers(20, 2000))
def test_the_resized_camera_sees_where_the_resized_image_shows(lens, rays, width, height):
    camera = _camera(*lens)
    points = np.column_stack([rays, np.ones(len(rays))])

    small = camera.resized(width, height)

    assert (small.width, small.height) == (width, height)
    expected = (camera.project(points) + 0.5) * [width / 640, height / 480] - 0.5
    np.testing.assert_allclose(small.project(points), expected, atol=1e-6)


def test_the_cropped_camera_sees_where_the_window_shows():
    camera = _camera("plumb_bob", (0.1, -0.02, 0.001, 0.001))
    points = [[0.1, -0.2, 1.0], [-0.3, 0.1, 2.0]]

    window = camera.cropped(100, 50, 300, 200)

    assert (window.width, window.height) == (300, 200)
    np.testing.assert_allclose(window.project(points), camera.project(points) - [100, 50])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 0}, "image size 0x480"),
        ({"height": -3}, "640x-3"),
        ({"fx": 0.0}, "is the camera calibrated"),
        ({"fy": -500.0}, "-500.0"),
        ({"cx": np.nan}, "finite"),
        ({"distortion": (np.inf, 0.0, 0.0, 0.0)}, "finite"),
        ({"distortion": (0.1,)}, "1 coefficients for 'plumb_bob'"),
        ({"distortion": (0.1,) * 5, "model": "equidistant"}, "5 coefficients for 'equidistant'"),
        ({"model": "fov"}, "'fov'.*plumb_bob,.*rational_polynomial,.*equidistant"),
        ({"model": "none", "distortion": (0.1,)}, "'none' with coefficients"),
        ({"width": 10**9}, "image size 1000000000x480"),
    ],
)
def test_intrinsics_of_no_camera_are_named(change, said):
    good = {"width": 640, "height": 480, "fx": 500.0, "fy": 500.0, "cx": 320.0, "cy": 240.0}

    with pytest.raises(CameraError, match=said):
        Camera(**{**good, **change})


def test_zero_coefficients_are_no_distortion():
    assert _camera("plumb_bob", (0.0,) * 5) == _camera()
    assert _camera("none", (0.0,) * 7) == _camera("rational_polynomial", (0.0,) * 14) == _camera()


@pytest.mark.parametrize("distortion", [(), (0.0,) * 4, (0.0,) * 5])
@pytest.mark.parametrize("name", ["equidistant", "fisheye", "Kannala-Brandt"])
def test_a_fisheye_without_coefficients_is_a_fisheye(name, distortion):
    camera = _camera(name, distortion)

    assert (camera.model, camera.distortion) == ("equidistant", (0.0,) * 4)
    # r = f * theta, not f * tan(theta).
    (pixel,) = camera.project([[1.0, 0.0, 1.0]])
    np.testing.assert_allclose(pixel, [318.0 + 520.0 * np.pi / 4, 243.0], atol=1e-9)
    np.testing.assert_allclose(camera.normalize([pixel]), [[1.0, 0.0]], atol=1e-9)


@pytest.mark.parametrize(
    ("name", "distortion", "expected"),
    [
        ("", (0.1, 0.01, 0.0, 0.0), ("plumb_bob", 4)),
        ("radtan", (0.1, 0.01, 0.0, 0.0), ("plumb_bob", 4)),
        ("Brown-Conrady", (0.1, 0.01, 0.0, 0.0, 0.2), ("plumb_bob", 5)),
        ("plumb_bob", (0.1, 0.01, 0.0, 0.0, 0.2, 0.3, 0.0, 0.0), ("rational_polynomial", 8)),
        ("plumb_bob", (0.1, *[0.0] * 13), ("plumb_bob", 4)),
        ("rational_polynomial", (0.1, 0.01, 0.0, 0.0, 0.0), ("plumb_bob", 4)),
        ("rational_polynomial", (*[0.01] * 12,), ("rational_polynomial", 12)),
        ("rational_polynomial", (*[0.01] * 12, 0.0, 0.0), ("rational_polynomial", 12)),
        ("thin_prism", (*[0.0] * 11, 0.01), ("rational_polynomial", 12)),
        ("tilted", (*[0.01] * 14,), ("rational_polynomial", 14)),
        ("kannala_brandt4", (0.1, 0.01, 0.0, 0.2), ("equidistant", 4)),
        ("fisheye", (0.1, 0.01, 0.0, 0.2, 0.0), ("equidistant", 4)),
        ("None", (), ("plumb_bob", 0)),
        ("Modified Brown Conrady", (0.0,) * 5, ("plumb_bob", 0)),
    ],
)
def test_other_names_and_lengths_of_the_same_models(name, distortion, expected):
    camera = _camera(name, distortion)

    assert (camera.model, len(camera.distortion)) == expected
    np.testing.assert_array_equal(camera.distortion, distortion[: expected[1]])


@pytest.mark.parametrize("length", [4, 5, 8, 12, 14])
def test_every_standard_model_agrees_with_opencv_on_random_rays(length):
    random = np.random.default_rng(length)
    limits = [0.2, 0.05, 0.002, 0.002, 0.01, 0.1, 0.05, 0.01, *[0.003] * 4, 0.02, 0.02][:length]
    for _ in range(20):
        distortion = tuple(random.uniform(-1, 1, length) * limits)
        points = np.column_stack([random.uniform(-0.6, 0.6, (50, 2)), np.ones(50)])
        camera = _camera("rational_polynomial", distortion)
        zero = np.zeros(3)
        pixels, _ = cv2.projectPoints(points, zero, zero, np.array(_K), np.array(distortion))

        np.testing.assert_allclose(camera.project(points), pixels[:, 0], atol=1e-9)
        np.testing.assert_allclose(camera.normalize(pixels[:, 0]), points[:, :2], atol=1e-6)


def test_the_fisheye_agrees_with_opencv_on_random_rays():
    random = np.random.default_rng(0)
    for _ in range(20):
        distortion = tuple(random.uniform(-1, 1, 4) * [0.05, 0.02, 0.01, 0.005])
        points = np.column_stack([random.uniform(-1.5, 1.5, (50, 2)), np.ones(50)])
        camera = _camera("equidistant", distortion)
        zero = np.zeros((1, 1, 3))
        pixels, _ = cv2.fisheye.projectPoints(
            points[:, None], zero, zero, np.array(_K), np.array(distortion)
        )

        np.testing.assert_allclose(camera.project(points), pixels[:, 0], atol=1e-9)
        rays = camera.normalize(pixels[:, 0])
        np.testing.assert_allclose(
            camera.project(np.column_stack([rays, np.ones(50)])), pixels[:, 0], atol=1e-4
        )


_CALIBRATION = """
image_width: 640
image_height: 480
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [520.0, 0, 318.0, 0, 510.0, 243.0, 0, 0, 1]}
distortion_model: equidistant
distortion_coefficients: {rows: 1, cols: 4, data: [0.01, 0.002, 0.0003, 0.00004]}
"""


def test_a_calibration_file_is_read(tmp_path):
    file = tmp_path / "front.yaml"
    file.write_text(_CALIBRATION)

    camera = Camera.from_yaml(file)

    expected = (0.01, 0.002, 0.0003, 0.00004)
    assert camera == Camera(640, 480, 520.0, 510.0, 318.0, 243.0, expected, "equidistant")
    np.testing.assert_array_equal(camera.matrix, _K)


def test_a_calibration_may_leave_the_distortion_out(tmp_path):
    file = tmp_path / "front.yaml"
    file.write_text(_CALIBRATION.split("distortion_model")[0])

    assert Camera.from_yaml(file) == _camera()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"just words",
        b"image_width: 640\nimage_height: 480\n",
        _CALIBRATION.replace("243.0, ", "").encode(),
        _CALIBRATION.replace("520.0", "0.0").encode(),
        _CALIBRATION.replace("equidistant", "fancy").encode(),
        _CALIBRATION.replace("{rows: 1, cols: 4, data:", "[").encode(),
        b"\xff\xfe\x00\x81",
        b"image_width: [640",
    ],
)
def test_a_file_that_is_no_calibration_is_named(tmp_path, content):
    file = tmp_path / "front.yaml"
    file.write_bytes(content)

    with pytest.raises(CameraError, match=r"front\.yaml is not a calibration"):
        Camera.from_yaml(file)


def test_a_missing_calibration_is_named(tmp_path):
    with pytest.raises(CameraError, match="nowhere"):
        Camera.from_yaml(tmp_path / "nowhere.yaml")


def _echoed(**changes):
    """As `ros2 topic echo --once` prints a camera_info."""
    values = {"k": "[520.0, 0.0, 318.0, 0.0, 510.0, 243.0, 0.0, 0.0, 1.0]", "binning_x": 0}
    values.update(changes)
    return f"""header:
  stamp: {{sec: 1, nanosec: 2}}
  frame_id: lens
height: 480
width: 640
distortion_model: plumb_bob
d:
- 0.1
- -0.02
- 0.001
- 0.002
- 0.3
k: {values["k"]}
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [500.0, 0.0, 310.0, 0.0, 0.0, 501.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: {values["binning_x"]}
binning_y: {values["binning_x"]}
roi:
  x_offset: 0
  y_offset: 0
  height: 0
  width: 0
  do_rectify: false
---
"""


def _by_opencv(path):
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 480)
    storage.write("camera_matrix", np.array(_K))
    storage.write("distortion_coefficients", np.array([[0.1, -0.02, 0.001, 0.002, 0.3]]))
    storage.release()


_KALIBR = """cam0:
  camera_model: pinhole
  distortion_coeffs: [0.1, -0.02, 0.001, 0.002]
  distortion_model: radtan
  intrinsics: [520.0, 510.0, 318.0, 243.0]
  resolution: [640, 480]
  rostopic: /image
"""


def test_calibrations_of_other_tools(tmp_path):
    expected = _camera("plumb_bob", (0.1, -0.02, 0.001, 0.002, 0.3))
    file = tmp_path / "front.yaml"
    file.write_text(_echoed())
    assert Camera.from_yaml(file) == expected
    file.write_text("\ufeff" + _echoed() * 3)
    assert Camera.from_yaml(file) == expected
    for name in ("opencv.yaml", "opencv.json"):
        _by_opencv(tmp_path / name)
        assert Camera.from_yaml(tmp_path / name) == expected
    file.write_text(_KALIBR)
    assert Camera.from_yaml(file) == _camera("radtan", expected.distortion[:4])
    file.write_text(_KALIBR + _KALIBR.replace("cam0", "cam1"))
    with pytest.raises(CameraError, match="2 cameras"):
        Camera.from_yaml(file)


def test_binning_and_rectification_of_a_file(tmp_path):
    file = tmp_path / "front.yaml"
    file.write_text(_echoed(binning_x=2))

    camera = Camera.from_yaml(file)
    rectified = Camera.from_yaml(file, rectified=True)

    assert (camera.width, camera.height, camera.fx) == (320, 240, 260.0)
    assert (rectified.fx, rectified.distortion) == (250.0, ())
    file.write_text(_CALIBRATION)
    with pytest.raises(CameraError, match="no P, which rectified images need"):
        Camera.from_yaml(file, rectified=True)


@pytest.mark.parametrize("lens", [("plumb_bob", ()), ("tilted", (0.01,) * 14), ("fisheye", ())])
def test_cameras_as_plain_values_and_back(lens):
    camera = _camera(*lens)

    assert Camera.from_dict(json.loads(json.dumps(camera.to_dict()))) == camera


def test_values_of_no_camera():
    values = _camera().to_dict()
    for change in ({"fx": "wide"}, {"width": None}, {"distortion": 3}):
        with pytest.raises(CameraError, match="values of no camera"):
            Camera.from_dict({**values, **change})
    with pytest.raises(CameraError, match="is the camera calibrated"):
        Camera.from_dict({**values, "fx": 0.0})


@pytest.mark.parametrize(
    "value", ["!!int ''", "!!bool x", "!!timestamp x", "9" * 5000, "[" * 700, "&a [*a]"]
)
def test_a_value_that_fits_no_type_is_told(tmp_path, value):
    path = tmp_path / "camera.yaml"
    path.write_text(f"image_width: {value}\nimage_height: 480\n")

    with pytest.raises(CameraError, match=r"camera\.yaml is not a calibration") as raised:
        Camera.from_yaml(path)

    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("value", ["[1, 2]", "{a: 1}", "{data: {a: 1}}", "text", "[[[1]]]"])
@pytest.mark.parametrize(
    "key",
    [
        "distortion_model",
        "camera_matrix",
        "image_width",
        "roi",
        "binning_x",
        "image_size",
        "d",
        "p",
    ],
)
def test_a_value_of_another_kind_is_read_or_told(tmp_path, key, value):
    path = tmp_path / "camera.yaml"
    calibration = {
        "image_width": 640, "image_height": 480, "distortion_model": "plumb_bob",
        "camera_matrix": "{data: [500, 0, 320, 0, 500, 240, 0, 0, 1]}", key: value,
    }  # fmt: skip
    path.write_text("\n".join(f"{name}: {value}" for name, value in calibration.items()))

    with contextlib.suppress(CameraError):
        Camera.from_yaml(path)


@pytest.mark.parametrize("key", ["distortion_model", "camera_matrix", "image_width", "roi"])
def test_a_value_that_grows_without_end_is_told_at_once(tmp_path, key):
    names = "abcdefghijklmnop"
    lines = ["a: &a [1]"]
    lines += [f"{n}: &{n} [{','.join([f'*{o}'] * 9)}]" for o, n in pairwise(names)]
    calibration = {
        "image_width": 640, "image_height": 480, "distortion_model": "plumb_bob",
        "camera_matrix": "{data: [500, 0, 320, 0, 500, 240, 0, 0, 1]}",
    }  # fmt: skip
    calibration[key] = "*p"
    lines += [f"{name}: {value}" for name, value in calibration.items()]
    path = tmp_path / "camera.yaml"
    path.write_text("\n".join(lines))

    with pytest.raises(CameraError, match=r"camera\.yaml is not a calibration") as raised:
        Camera.from_yaml(path)

    assert len(str(raised.value)) < 600
