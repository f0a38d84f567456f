# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The front end `mast3r`: bookkeeping of pixels and meters around an engine."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from network_reference import TINY, random_network

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.base import DecodedPair, Encoded, EngineInfo, Pair
from mast3r_ros.engines.torch_engine import TorchEngine
from mast3r_ros.engines.torch_nearest import TorchDatabase
from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.frontends.base import FrontEndError, batch_for
from mast3r_ros.frontends.mast3r import matching as mast3r_matching
from mast3r_ros.frontends.mast3r.frontend import Mast3rDescription, Mast3rFrontEnd
from mast3r_ros.frontends.mast3r.matching import match_features
from mast3r_ros.frontends.mast3r.options import OWN, PUBLISHED, Mast3rOptions
from mast3r_ros.geometry.alignment import align
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.pixels import PixelTransform
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Reason
from mast3r_ros.matching import cuda, gpu
from mast3r_ros.matching.cuda_bindings import GpuUnavailableError
from mast3r_ros.matching.nearest import Database, nearest
from mast3r_ros.matching.reciprocal import grid_seeds, reciprocal, shape_of
from mast3r_ros.network import MAST3RConfig, fetch
from mast3r_ros.network.prediction import LocalFeatures, PointMap

SIZE = ImageSize(64, 48)  # what the network sees
SHAPE = SIZE.shape
SHIFT = (5, -3)  # reference pixel (x, y) is query pixel (x + 5, y - 3)
FOCAL = 60.0
DEPTH = 2.0
SMALL_IMAGES = replace(TINY, image_size=64)


class Plane:
    """An engine that sees a wall at 2 m, and a query that is the reference moved by `SHIFT`."""

    config = SMALL_IMAGES

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.spoil = ""
        self.behind = 0  # columns of points behind the camera
        self.decoded = self.mapped = 0
        rng = np.random.default_rng(0)
        world = rng.standard_normal((SHAPE[0] + 20, SHAPE[1] + 20, 24)).astype(np.float32)
        self._world = world / np.linalg.norm(world, axis=-1, keepdims=True)

    def encode(self, images: np.ndarray) -> np.ndarray:
        assert images.shape[2:] == SHAPE
        tokens = np.random.default_rng(0).standard_normal((1, 48, 32)).astype(np.float32)
        if self.spoil == "tokens":
            tokens[0, 3, 3] = np.inf
        return tokens

    def decode(self, pairs: Sequence[Pair]) -> list[DecodedPair]:
        height, width = SHAPE
        dx, dy = SHIFT
        self.decoded += len(pairs)
        reference = LocalFeatures(
            self._world[10 : 10 + height, 10 : 10 + width].copy(), np.full(SHAPE, 3.0, np.float32)
        )
        query = LocalFeatures(
            self._world[10 - dy : 10 - dy + height, 10 - dx : 10 - dx + width].copy(),
            np.full(SHAPE, 1.0, np.float32),
        )
        if self.spoil in ("descriptors", "confidence"):
            getattr(reference, self.spoil)[12] = np.nan
        return [DecodedPair(reference, query, pair[0], ()) for pair in pairs]

    def points(self, decoded: Sequence[DecodedPair]) -> list[PointMap[np.ndarray]]:
        height, width = SHAPE
        self.mapped += len(decoded)
        x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
        points = np.stack(
            [x / FOCAL * DEPTH, y / FOCAL * DEPTH, np.full(SHAPE, DEPTH)], axis=-1
        ).astype(np.float32)
        points[:, : self.behind] *= -1
        if self.spoil == "points":
            points[12] = np.nan
        return [PointMap(points, np.full(SHAPE, 2.0, np.float32))] * len(decoded)

    def warm_up(self, sizes: Sequence[ImageSize]) -> None:
        self.notes += map(str, sizes)

    def batch_for(self, count: int) -> int:
        return count + count % 2

    def info(self) -> EngineInfo:
        return EngineInfo("plane", "fp32", "none", "c" * 64, None, 8, None, (), {})


@pytest.fixture
def engine() -> Plane:
    return Plane()


def front_end(engine: Plane, **options: object) -> Mast3rFrontEnd:
    sparse = {"stride": 8, "border": 3}
    return Mast3rFrontEnd(Mast3rOptions(**{**sparse, **options}), engine)


def frame(width: int = 640, height: int = 480, depth: float | None = None) -> Frame:
    image = np.zeros((height, width, 3), np.uint8)
    camera = Camera(width, height, 600.0, 600.0, (width - 1) / 2, (height - 1) / 2)
    sensed = None if depth is None else np.full((height, width), depth, np.float32)
    return Frame(image, camera, depth=sensed)


def test_description_is_small_and_made_of_arrays(engine: Plane) -> None:
    description = front_end(engine).describe(frame())
    assert description.tokens.dtype == np.float16
    assert np.linalg.norm(description.global_descriptor) == pytest.approx(1, abs=1e-5)
    assert tuple(description.size) == SIZE
    again = Mast3rDescription(**description.arrays())
    assert again.transform == description.transform
    assert again.encoded.size == SIZE
    assert description.measured.shape == (0, 0, 3)


def test_what_a_mask_covers_is_not_matched(engine: Plane) -> None:
    fe = front_end(engine)
    upper, left = (np.zeros((480, 640), np.uint8) for _ in range(2))
    upper[:240], left[:, :320] = 255, 255
    reference = fe.describe(replace(frame(), mask=upper))
    query = fe.describe(replace(frame(), mask=left != 0))
    whole = fe.describe(frame())

    (all_of_them,) = fe.match([whole], whole)
    (found,) = fe.match([reference], query)

    expected = (all_of_them.reference_pixels[:, 1] < 239.5) & (
        all_of_them.query_pixels[:, 0] < 319.5
    )
    assert 5 < expected.sum() < len(all_of_them) / 2
    np.testing.assert_array_equal(found.reference_pixels, all_of_them.reference_pixels[expected])
    np.testing.assert_array_equal(found.query_pixels, all_of_them.query_pixels[expected])
    assert Mast3rDescription(**query.arrays()).uses(np.zeros((1, 2), np.float32)).all()


def test_the_tokens_that_a_mask_covers_do_not_count_in_what_an_image_looks_like(
    engine: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    fe, first = front_end(engine), frame()
    mask = np.ones((480, 640), bool)
    mask[:, 320:] = False
    encode = engine.encode

    def other_right_half(images: np.ndarray) -> np.ndarray:
        tokens = encode(images).copy()
        patch = engine.config.patch_size
        grid = tokens.reshape(len(tokens), SHAPE[0] // patch, SHAPE[1] // patch, -1)
        grid[:, :, SIZE.width // (2 * patch) :] += 1.0
        return tokens

    one = fe.describe(replace(first, mask=mask)), fe.describe(first)
    monkeypatch.setattr(engine, "encode", other_right_half)
    other = fe.describe(replace(first, mask=mask)), fe.describe(first)

    np.testing.assert_allclose(one[0].global_descriptor, other[0].global_descriptor, atol=1e-6)
    assert np.abs(one[1].global_descriptor - other[1].global_descriptor).max() > 1e-3


def test_matches_come_back_in_original_pixels_and_meters(engine: Plane) -> None:
    fe = front_end(engine)
    reference, query = fe.describe(frame()), fe.describe(frame(1280, 960))
    first, second = fe.match([reference, reference], query)
    assert len(first) == len(second) >= 30
    assert first.metric
    # Ten original pixels a network pixel in the reference, twenty in the query.
    small = (first.reference_pixels + 0.5) / 10 - 0.5
    moved = (first.query_pixels + 0.5) / 20 - 0.5
    np.testing.assert_allclose(moved - small, np.broadcast_to(SHIFT, small.shape), atol=1e-4)
    np.testing.assert_allclose(small, np.rint(small), atol=1e-4)
    center = (np.array(SIZE) - 1) / 2
    expected = np.column_stack([(small - center) / FOCAL * DEPTH, np.full(len(small), DEPTH)])
    np.testing.assert_allclose(first.reference_points, expected, atol=1e-4)
    # The lesser of the confidences 3 and 1, on the logistic scale.
    np.testing.assert_allclose(first.confidence, 0.5)
    assert small.min() >= 3  # the border


def test_both_views_points_give_the_pose_by_alignment(engine: Plane) -> None:
    fe = front_end(engine)
    description = fe.describe(frame())
    (found,) = fe.match([description], description, query_points=True)
    assert found.query_points is not None
    # On a wall that both views see head on, a shift of pixels is a shift of the camera.
    pose, _ = align(
        found.reference_points.astype(np.float64), found.query_points.astype(np.float64)
    )
    expected = np.eye(4)
    expected[:2, 3] = -np.array(SHIFT) / FOCAL * DEPTH
    np.testing.assert_allclose(pose, expected, atol=1e-4)
    some = found.select(np.arange(5))
    assert some.query_points is not None
    assert len(some.query_points) == 5
    assert fe.match([description], description)[0].query_points is None


@pytest.mark.parametrize("method", ["pnp", "essential", "procrustes"])
@pytest.mark.parametrize("calibrated", [True, False])
def test_a_map_of_keyframes_localizes_by_every_method(
    engine: Plane, tmp_path: Path, method: str, calibrated: bool
) -> None:
    fe = front_end(engine, stride=4)
    keyframes = KeyframeMap(fe)
    keyframes.add(frame(), np.eye(4))
    keyframes.save(tmp_path / "map")
    keyframes = KeyframeMap.load(tmp_path / "map", fe)
    query = frame() if calibrated else replace(frame(), camera=None)
    answer = Relocalizer(keyframes, RelocalizerOptions(pose_method=method)).localize(query)
    assert answer.localized, answer.message
    assert answer.pose is not None
    assert answer.camera_estimated != calibrated
    expected = np.eye(4)
    expected[:2, 3] = -np.array(SHIFT) / FOCAL * DEPTH
    np.testing.assert_allclose(answer.pose, expected, atol=0.01)


def test_a_known_camera_puts_points_on_their_own_pixels_rays(engine: Plane) -> None:
    """The network believes in another focal length and in no distortion: only its depth is kept."""
    seen = frame()
    camera = Camera(640, 480, 500.0, 510.0, 300.0, 250.0, (-0.2, 0.05, 0.001, -0.001, 0.0))
    fe = front_end(engine)
    known, unknown = (fe.describe(replace(seen, camera=c)) for c in (camera, None))
    (found,) = fe.match([known], known, query_points=True)
    for points, pixels in (
        (found.reference_points, found.reference_pixels),
        (found.query_points, found.query_pixels),
    ):
        assert points is not None
        np.testing.assert_allclose(points[:, 2], DEPTH, rtol=1e-6)
        np.testing.assert_allclose(camera.project(points), pixels, atol=1e-3)
    (guessed,) = fe.match([unknown], known)
    np.testing.assert_allclose(guessed.reference_points[:, 2], DEPTH, rtol=1e-6)
    assert np.abs(guessed.reference_points - found.reference_points).max() > 0.1
    again = Mast3rDescription(**known.arrays())
    assert again.intrinsics == camera
    assert unknown.intrinsics is None


def test_what_is_not_in_front_of_the_camera_is_unknown(engine: Plane) -> None:
    fe = front_end(engine)
    description = fe.describe(frame())
    engine.behind = SIZE.width // 2
    (found,) = fe.match([description], description)
    left = found.reference_pixels[:, 0] < 320
    assert left.any()
    np.testing.assert_array_equal(np.isnan(found.reference_points).all(1), left)


def test_a_network_of_rays_gets_them_and_needs_a_camera(
    engine: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.config = replace(engine.config, rays=True)
    given = []
    encode = engine.encode
    monkeypatch.setattr(engine, "encode", lambda images: given.append(images) or encode(images))
    fe = front_end(engine, stride=4)
    seen = frame()
    fe.describe(seen)
    (image,) = given
    assert image.shape == (1, 5, *SHAPE)
    # Pixel (x, y) of the network is original pixel 10 x + 4.5, and the camera's middle is 319.5.
    np.testing.assert_allclose(image[0, 3, 7], (10 * np.arange(64) + 4.5 - 319.5) / 600, atol=1e-6)
    np.testing.assert_allclose(
        image[0, 4, :, 9], (10 * np.arange(48) + 4.5 - 239.5) / 600, atol=1e-6
    )

    blind = replace(seen, camera=None)
    with pytest.raises(FrontEndError, match="no camera: calibrate it"):
        fe.describe(blind)
    keyframes = KeyframeMap(fe)
    keyframes.add(seen, np.eye(4))
    relocalizer = Relocalizer(keyframes)
    assert relocalizer.localize(seen).localized
    assert relocalizer.localize(blind).reason is Reason.NO_CAMERA


def test_what_a_network_needs_goes_with_its_size(engine: Plane) -> None:
    assert Mast3rOptions().in_pixels(512) == (8, 3)
    assert Mast3rOptions().in_pixels(128) == (2, 1)
    assert Mast3rOptions(stride=5, border=0).in_pixels(128) == (5, 0)
    fe = front_end(engine)
    assert (fe.min_inliers, fe.min_inlier_ratio) == (OWN.min_inliers, OWN.min_inlier_ratio)
    assert fe.pixel_error_scale((480, 640)) == pytest.approx(10 * OWN.pixel_error_scale)
    engine.config = MAST3RConfig()
    assert (fe.min_inliers, fe.min_inlier_ratio) == (
        PUBLISHED.min_inliers,
        PUBLISHED.min_inlier_ratio,
    )


def test_no_candidates_no_matches(engine: Plane) -> None:
    fe = front_end(engine)
    assert fe.match([], fe.describe(frame())) == []


@pytest.mark.parametrize(("use", "expected"), [("off", DEPTH), ("rescale", 3.0), ("replace", 3.0)])
def test_a_depth_sensor_has_its_say(engine: Plane, use: str, expected: float) -> None:
    fe = front_end(engine, scale_from_depth=use)
    (found,) = fe.match([fe.describe(frame(depth=3.0))], fe.describe(frame()))
    np.testing.assert_allclose(found.reference_points[:, 2], expected, rtol=2e-3)
    if use != "off":
        ray = found.reference_points[:, :2] / found.reference_points[:, 2:]
        pixels = (found.reference_pixels - (319.5, 239.5)) / 600.0
        np.testing.assert_allclose(ray, pixels, atol=2e-3)


def test_the_network_decides_what_its_points_are_worth_beside_a_sensor(engine: Plane) -> None:
    sensed = frame(depth=3.0)
    assert sensed.depth is not None
    sensed.depth[:, :200] = np.nan
    fe = front_end(engine)
    kept = fe.describe(sensed)
    for config, everywhere in ((SMALL_IMAGES, False), (MAST3RConfig(), True)):
        engine.config = config
        (found,) = fe.match([kept], kept)
        assert np.isfinite(found.reference_points).all() == everywhere
    engine.config = SMALL_IMAGES
    (measured,) = fe.match([kept], kept)
    (predicted,) = fe.match([fe.describe(frame())], kept)
    assert measured.correlation == OWN.correlation
    assert predicted.correlation == OWN.predicted_correlation
    assert measured.min_inlier_ratio == OWN.min_inlier_ratio
    assert predicted.min_inlier_ratio == OWN.predicted_share
    picked = predicted.select(np.arange(3))
    assert picked.correlation == OWN.predicted_correlation
    assert picked.min_inlier_ratio == OWN.predicted_share


def test_too_little_depth_is_no_scale(engine: Plane) -> None:
    sparse = frame(depth=3.0)
    assert sparse.depth is not None
    sparse.depth[:, 20:] = np.nan
    fe = front_end(engine, scale_from_depth="rescale")
    description = fe.describe(sparse)
    assert 0 < np.isfinite(description.measured[..., 2]).sum() < 100
    (found,) = fe.match([description], description)
    np.testing.assert_allclose(found.reference_points[:, 2], DEPTH, rtol=1e-6)


@pytest.mark.parametrize("what", ["points", "descriptors", "confidence"])
def test_an_answer_that_is_not_finite_is_refused(engine: Plane, what: str) -> None:
    fe = front_end(engine)
    description = fe.describe(frame())
    engine.spoil = what
    with pytest.raises(FrontEndError, match="not finite; the image is refused"):
        fe.match([description], description)
    engine.spoil = ""
    assert len(fe.match([description], description)[0])


def test_tokens_that_are_not_finite_are_refused(engine: Plane) -> None:
    engine.spoil = "tokens"
    with pytest.raises(FrontEndError, match="tokens are not finite"):
        front_end(engine).describe(frame())


def test_unknown_intrinsics_come_from_the_point_map(engine: Plane) -> None:
    fe = front_end(engine)
    unknown = replace(frame(), camera=None)
    camera = fe.estimate_camera(fe.describe(unknown), unknown.size)
    assert (camera.width, camera.height) == (640, 480)
    assert camera.fx == pytest.approx(10 * FOCAL, rel=1e-4)
    assert camera.fy == pytest.approx(10 * FOCAL, rel=1e-4)
    assert (camera.cx, camera.cy) == (319.5, 239.5)


def test_fingerprint_names_the_weights_and_the_size(engine: Plane) -> None:
    assert front_end(engine).fingerprint == "mast3r-5-64-" + 16 * "c"
    engine.config = TINY
    assert front_end(engine).fingerprint == "mast3r-5-512-" + 16 * "c"


def test_it_tells_what_runs(engine: Plane) -> None:
    assert front_end(engine).engine == "plane:none:fp32"
    running = TorchEngine(random_network(SMALL_IMAGES), batch=3)
    running.notes.append("tensorrt cannot run")
    fe = Mast3rFrontEnd(engine=running)
    fe.describe(frame())
    details = fe.details
    assert fe.engine == "torch:cpu:fp32"
    assert details["keyframes at once"] == "3"
    assert details["notes"] == "tensorrt cannot run"
    assert details["memory"].endswith(" GB")
    assert details["weights"] == "our own, images of 64 px, from no file"
    assert float(details["encode [ms]"]) > 0


def test_warm_up_runs_at_the_sizes_there_are(
    engine: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    front_end(engine).warm_up()
    about = replace(engine.info(), sizes=(ImageSize(32, 16), ImageSize(16, 32)))
    monkeypatch.setattr(engine, "info", lambda: about)
    front_end(engine).warm_up()
    assert engine.notes == ["64x48", "32x16", "16x32"]


def test_options_are_checked(engine: Plane, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    with pytest.raises(ValueError, match="auto, off, rescale, replace"):
        front_end(engine, scale_from_depth="yes")
    monkeypatch.setenv("MAST3R_ROS_CACHE", str(tmp_path))
    monkeypatch.setattr(fetch, "nano_checkpoint", lambda: tmp_path / "nano.safetensors")
    with pytest.raises(FrontEndError, match="fetch-checkpoint --accept-license"):
        Mast3rFrontEnd(Mast3rOptions(engine="torch"))


def test_a_network_finds_an_image_in_itself() -> None:
    """With both decoders and heads alike, the two views of one image are alike."""
    model = random_network(SMALL_IMAGES)
    model.dec_blocks2.load_state_dict(model.dec_blocks.state_dict())
    model.downstream_head2.load_state_dict(model.downstream_head1.state_dict())
    fe = Mast3rFrontEnd(engine=TorchEngine(model))
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (480, 640, 3)).astype(np.uint8)
    description = fe.describe(Frame(image))
    (found,) = fe.match([description], description)
    assert len(found) > 30
    np.testing.assert_array_equal(found.reference_pixels, found.query_pixels)


def test_images_that_look_alike_have_near_global_descriptors() -> None:
    fe = Mast3rFrontEnd(engine=TorchEngine(random_network(SMALL_IMAGES)))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, 6, 8, 3)).astype(np.uint8).repeat(60, 1).repeat(60, 2)
    near = np.clip(images[0].astype(int) + rng.integers(-5, 5, images[0].shape), 0, 255)
    a, b, other = (
        fe.describe(Frame(image.astype(np.uint8))).global_descriptor
        for image in (images[0], near, images[1])
    )
    assert a @ b > a @ other


def test_the_torch_database_answers_as_the_other_one() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((20, 30, 24)).astype(np.float32)
    queries = rng.standard_normal((3000, 24)).astype(np.float32)
    ours = TorchDatabase(torch.from_numpy(values), values)
    assert ours.shape == (20, 30)
    found, scores = nearest(queries, ours)
    expected, best = nearest(queries, Database(values))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(scores, best, rtol=1e-5)
    _, first, second = ours.search(queries, threads=0, second=True)
    assert (first >= second).all()


class OnGpu:
    """An array that says it is on a GPU."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape = values.shape
        self.__cuda_array_interface__ = {"shape": values.shape, "typestr": "<f4", "version": 3}

    def get_device(self) -> int:
        return 0

    def to_host(self) -> np.ndarray:
        return self.values


def test_descriptors_on_a_gpu_are_matched_there(
    engine: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernels' place is taken by the CPU's: what is looked at is the way to them and back."""
    encoded = Encoded(np.zeros((48, 32)), SIZE)
    (pair,) = engine.decode([(encoded, encoded)])
    random = np.random.default_rng(0)
    first, second = (
        replace(view, confidence=random.random(SHAPE).astype(np.float32))
        for view in (pair.reference, pair.query)
    )
    here = [replace(pair, reference=a, query=b) for a, b in ((first, second), (second, first))]
    there = [
        replace(
            p,
            reference=replace(p.reference, descriptors=OnGpu(p.reference.descriptors)),
            query=replace(p.query, descriptors=OnGpu(p.query.descriptors)),
        )
        for p in here
    ]
    expected = match_features(here, 8, 3)
    calls = []

    def walk(pairs: list, *, stride: int) -> list[np.ndarray]:
        calls.append(len(pairs))
        return [reciprocal(a, b, grid_seeds(*shape_of(a), stride)).pairs for a, b in pairs]

    def agree() -> None:
        for mine, theirs in zip(match_features(there, 8, 3), expected, strict=True):
            np.testing.assert_array_equal(mine.reference, theirs.reference)
            np.testing.assert_array_equal(mine.query, theirs.query)
            np.testing.assert_array_equal(mine.confidence, theirs.confidence)

    def opened(open_device: Callable[[int], Any]) -> None:
        mast3r_matching.gpu_matcher.cache_clear()
        monkeypatch.setattr(
            mast3r_matching,
            "GpuMatcher",
            lambda number, fallback, to_host: gpu.GpuMatcher(number, fallback, open_device),
        )

    def on_host(array: Any, device: str) -> Database:
        assert device == "gpu 0"
        return Database(array.to_host() if isinstance(array, OnGpu) else array)

    monkeypatch.setattr(gpu, "CudaDatabase", on_host)
    monkeypatch.setattr(cuda, "reciprocal_on_gpu", walk)
    opened(lambda number: f"gpu {number}")
    agree()
    assert calls == [2, 4]  # the check at start; both keyframes, both ways, at once

    def missing(number: int) -> None:
        raise GpuUnavailableError("cuda-bindings cannot be imported")

    opened(missing)
    agree()
    assert len(calls) == 2
    mast3r_matching.gpu_matcher.cache_clear()


def test_pixel_transform_of_an_odd_size(engine: Plane) -> None:
    description = front_end(engine).describe(frame(848, 636))
    assert description.transform == PixelTransform.resize((64, 48), (848, 636))


def test_points_are_computed_for_the_best_keyframes_alone(
    engine: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    fe = front_end(engine, point_maps=2)
    kept = [fe.describe(frame()) for _ in range(4)]
    decode = engine.decode

    def unsure(pairs: Sequence[Pair]) -> list[DecodedPair]:
        """The first keyframe and the third have surer matches than the others."""
        decoded = decode(pairs)
        return [
            replace(
                one, query=replace(one.query, confidence=one.query.confidence * (1 + (i % 2 == 0)))
            )
            for i, one in enumerate(decoded)
        ]

    monkeypatch.setattr(engine, "decode", unsure)
    found = fe.match(kept, kept[0])
    assert engine.mapped == 2
    assert [bool(np.isfinite(c.reference_points).all()) for c in found] == [True, False] * 2
    assert [bool(np.isnan(c.reference_points).all()) for c in found] == [False, True] * 2
    assert len({len(c) for c in found}) == 1  # all have their matches
    engine.mapped = engine.decoded = 0
    found = fe.match(kept, kept[0], query_points=True)
    assert (engine.decoded, engine.mapped) == (4 + 2, 2 + 2)
    assert [bool(np.isfinite(c.query_points).all()) for c in found] == [True, False] * 2


def test_keyframes_are_matched_in_batches_that_suit_the_engine(engine: Plane) -> None:
    fe = front_end(engine)
    assert [batch_for(fe, count) for count in (2, 3)] == [2, 4]
    assert batch_for(create("sift"), 3) == 3


def test_measured_points_need_no_point_map(engine: Plane) -> None:
    fe = front_end(engine, scale_from_depth="replace")
    sensed = fe.describe(frame(depth=3.0))
    found = fe.match([sensed] * 3, fe.describe(frame()))
    assert engine.mapped == 0
    for matches in found:
        np.testing.assert_allclose(matches.reference_points[:, 2], 3.0, rtol=2e-3)


class Strided(OnGpu):
    """An array on the GPU as CUDA's `pixel_shuffle` leaves it: channels first in memory."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__(values)
        height, width, channels = values.shape
        strides = (4 * width, 4, 4 * height * width)
        assert channels > 1
        self.__cuda_array_interface__ |= {"strides": strides}


def test_a_layout_is_not_taken_for_nan(engine: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mast3r_matching, "gpu_matcher", lambda number: None)
    encoded = Encoded(np.zeros((48, 32)), SIZE)
    (pair,) = engine.decode([(encoded, encoded)])
    wrong = replace(pair, query=replace(pair.query, descriptors=Strided(pair.query.descriptors)))
    right = replace(pair.reference, descriptors=OnGpu(pair.reference.descriptors))
    with pytest.raises(TypeError, match=r"strides \(256, 4, 12288\).*must make it contiguous"):
        match_features([replace(wrong, reference=right)], 8, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens": np.zeros((48, 31), np.float16)}, r"tokens of shape \(48, 31\)"),
        ({"tokens": np.zeros((48, 32))}, "tokens .* type float64"),
        ({"tokens": np.full((48, 32), np.nan, np.float16)}, "all must be finite"),
        ({"size": np.array([64, 64])}, "the network sees .* as 64x48"),
        ({"size": np.array([-64, 48])}, "the network sees .* as 64x48"),
        ({"to_original": np.array([0.0, 1, 0, 0])}, "scales positive"),
        ({"measured": np.zeros((48, 63, 3), np.float16)}, "measured of shape"),
        ({"used": np.ones((1, 1), bool)}, "used of shape"),
        ({"detail": np.zeros((97, 128, 3), np.uint8)}, "detail of shape"),
        ({"camera": np.array('{"width": 1}')}, "values of no camera"),
        ({"camera": np.array("{")}, "Expecting"),
    ],
)
def test_a_description_of_another_kind_is_named(engine, change, said):
    """Those of a map come from a file."""
    seen = front_end(engine)
    frame = Frame(np.zeros((480, 640, 3), np.uint8), Camera(640, 480, 500.0, 500.0, 319.5, 239.5))
    description = seen.describe(frame)
    seen.check_description(description, (640, 480))

    with pytest.raises(ValueError, match=said):
        seen.check_description(replace(description, **change), (640, 480))


def test_points_of_both_views_match_the_pixels_that_show_the_same():
    class TwoPlanes(Plane):
        def both_point_maps(self, pairs):
            """The query's points, as the reference sees them."""
            ((wall,), shift) = self.points(self.decode(pairs)[:1]), np.array([*SHIFT, 0.0])
            moved = (wall.points - shift * DEPTH / FOCAL).astype(np.float32)
            return [(wall, PointMap(moved, np.full(SHAPE, 1.5, np.float32)))] * len(pairs)

    fe = front_end(TwoPlanes(), match_by="points", stride=4)
    image = fe.describe(frame())

    (found,) = fe.match([image], image)

    step = found.query_pixels - found.reference_pixels
    scale = fe.describe(frame()).transform.scale
    assert len(found) > 50
    np.testing.assert_allclose(step, np.tile(np.multiply(SHIFT, scale), (len(found), 1)), atol=1e-4)
    assert found.confidence == pytest.approx(1.5 / 2.5)


def test_both_point_maps_are_the_networks_in_one_frame():
    model = random_network(SMALL_IMAGES)
    engine = TorchEngine(model)
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, *SHAPE)).astype(np.float32)
    one, other = (Encoded(tokens, SIZE) for tokens in engine.encode(images))

    ((reference, query),) = engine.both_point_maps([(one, other)])

    (known,) = engine.points(engine.decode([(one, other)]))
    torch.testing.assert_close(reference.points, known.points)
    torch.testing.assert_close(reference.confidence, known.confidence)
    # The query's come from the other head, and from its own tokens.
    assert not torch.allclose(query.points, known.points)
    assert tuple(query.points.shape) == (*SHAPE, 3)


def test_matching_by_points_needs_the_points_of_queries(engine):
    with pytest.raises(FrontEndError, match="choose engine torch"):
        front_end(engine, match_by="points")
    with pytest.raises(ValueError, match="without coarse_to_fine"):
        Mast3rOptions(match_by="points", coarse_to_fine=True)
