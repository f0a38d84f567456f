# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A map grows, shrinks, finds what looks alike, and triangulates what no depth was given for."""

import faiss
import numpy as np
import pytest
from synthetic import OTHER_ROOM, ROOM, camera_pose, make_camera, view
from told import ToldFrontEnd, numbered

from mast3r_ros.frame import Frame
from mast3r_ros.frontends import features
from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes import retrieval, trained_index, triangulation
from mast3r_ros.keyframes.keyframe import decode_thumbnail, make_thumbnail
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.places import Place, Places
from mast3r_ros.keyframes.retrieval import GlobalIndex, PosePrior
from mast3r_ros.keyframes.triangulation import choose_neighbors


@pytest.fixture(scope="module")
def sift():
    """With few keypoints."""
    return SiftFrontEnd(SiftOptions(max_keypoints=600))


def _line_of(count: int, step: float = 10.0) -> KeyframeMap:
    """Keyframes numbered 0, 1, ... that stand in a row along x."""
    keyframes = KeyframeMap(ToldFrontEnd())
    for number in range(count):
        keyframes.add(numbered(number), camera_pose(x=step * number))
    return keyframes


def _ids(keyframes) -> list[int]:
    return [keyframe.id for keyframe in keyframes]


def test_a_keyframe_keeps_what_was_given():
    keyframes, pose = KeyframeMap(ToldFrontEnd()), camera_pose(1, 2, 3, 0.3)
    mask = np.arange(48 * 64).reshape(48, 64) % 5 > 1
    frame = numbered(7, stamp=12, frame_id="optical", camera=make_camera(64, 48), mask=mask)

    keyframe_id = keyframes.add(frame, pose)
    pose_kept = pose.copy()
    pose[:] = 0.0

    kept = keyframes[keyframe_id]
    np.testing.assert_array_equal(kept.pose, pose_kept)
    assert (kept.stamp, kept.frame_id, kept.size) == (12, "optical", (64, 48))
    assert kept.camera == frame.camera
    assert kept.sensed is False
    np.testing.assert_array_equal(kept.mask, np.where(mask, 255, 0))
    assert kept.description.number.tolist() == [7]
    assert decode_thumbnail(kept.thumbnail).shape == (48, 64, 3)


def test_a_description_at_hand_is_not_made_again():
    front_end = ToldFrontEnd()
    keyframes = KeyframeMap(front_end)

    keyframes.add(numbered(1), np.eye(4), front_end.describe(numbered(42)))

    assert keyframes[0].description.number.tolist() == [42]


def test_ids_are_never_used_again():
    keyframes = _line_of(3)

    keyframes.remove(2)
    keyframes.remove(1)

    assert keyframes.next_id == 3
    assert keyframes.add(numbered(9), np.eye(4)) == 3
    assert _ids(keyframes) == [0, 3]
    assert len(keyframes) == 2


def test_what_was_removed_is_found_no_more():
    keyframes = _line_of(4)
    query = keyframes.front_end.describe(numbered(1))

    keyframes.remove(1)

    assert _ids(keyframes.nearest(query, 10)) == [0, 2, 3] or _ids(
        keyframes.nearest(query, 10)
    ) == [2, 0, 3]
    with pytest.raises(KeyError, match="no keyframe 1 in the map, which holds ids 0 to 3"):
        keyframes.remove(1)
    with pytest.raises(KeyError, match="no keyframe 1"):
        keyframes[1]


def test_an_empty_map_has_nothing():
    keyframes = _line_of(1)
    query = keyframes[0].description

    keyframes.remove(0)

    assert keyframes.nearest(query, 5) == []
    assert KeyframeMap(ToldFrontEnd()).nearest(query, 5) == []
    with pytest.raises(KeyError, match="holds none"):
        keyframes[0]


@pytest.mark.parametrize(
    "pose",
    [
        np.eye(3),
        np.full((4, 4), np.nan),
        np.diag([1.0, 1.0, -1.0, 1.0]),
        np.diag([2.0, 2.0, 2.0, 1.0]),
        transforms.make(np.eye(3), [0, np.inf, 0]),
    ],
    ids=["3x3", "nan", "mirror", "scale", "infinite"],
)
def test_a_bad_pose_is_refused_and_changes_nothing(pose):
    keyframes = _line_of(1)

    with pytest.raises(ValueError, match="is not a rigid transform"):
        keyframes.add(numbered(1), pose)

    assert (len(keyframes), keyframes.next_id) == (1, 1)


def test_the_nearest_look_most_alike_best_first():
    keyframes = _line_of(8)
    query = keyframes.front_end.describe(numbered(0))

    assert _ids(keyframes.nearest(query, 3)) == [0, 1, 2]
    assert _ids(keyframes.nearest(query, 100)) == list(range(8))


def _prior(x: float, sigma: float = 0.1, turn: float = 0.0, turn_sigma: float = 0.1) -> PosePrior:
    covariance = np.diag([sigma**2] * 3 + [turn_sigma**2] * 3)
    return PosePrior(camera_pose(x, turn=turn), covariance)


def test_a_prior_brings_what_it_admits_to_the_front():
    keyframes = _line_of(8, step=1.0)
    query = keyframes.front_end.describe(numbered(0))

    found = keyframes.nearest(query, 4, _prior(7.0))

    # It admits 4 to 7; half of the places are left to looks.
    assert _ids(found) == [4, 5, 0, 1]


def test_a_prior_that_admits_little_leaves_the_rest_to_looks():
    keyframes = _line_of(8)
    query = keyframes.front_end.describe(numbered(0))

    assert _ids(keyframes.nearest(query, 4, _prior(70.0))) == [7, 0, 1, 2]
    assert _ids(keyframes.nearest(query, 4, _prior(10.0))) == [1, 0, 2, 3]


def test_a_prior_out_of_the_map_changes_nothing():
    keyframes = _line_of(8)
    query = keyframes.front_end.describe(numbered(0))

    assert _ids(keyframes.nearest(query, 4, _prior(1000.0))) == [0, 1, 2, 3]


def test_a_right_prior_may_fill_all_places():
    keyframes = _line_of(8, step=0.1)
    query = keyframes.front_end.describe(numbered(0))

    assert sorted(_ids(keyframes.nearest(query, 4, _prior(0.0)))) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("x", "turn", "prior", "admitted"),
    [
        (2.9, 0.0, _prior(0.0), True),
        (3.5, 0.0, _prior(0.0), False),
        (3.5, 0.0, _prior(0.0, sigma=0.5), True),
        (0.0, 1.2, _prior(0.0), True),
        (0.0, 1.6, _prior(0.0), False),
        (0.0, 1.6, _prior(0.0, turn_sigma=0.4), True),
        (0.0, np.pi, _prior(0.0, turn=np.pi), True),
    ],
)
def test_a_prior_admits_what_may_share_its_view(x, turn, prior, admitted):
    keyframe = camera_pose(x, turn=turn)
    near = np.linalg.norm(keyframe[:3, 3] - prior.pose[:3, 3]) <= prior.radius
    assert (near and prior.looks_along(keyframe[None])[0]) == admitted


def _strewn(count: int, length: int = 32, places: int = 40) -> np.ndarray:
    """Descriptors about some places, of length 1."""
    chance = np.random.default_rng(0)
    values = chance.normal(size=(places, length))[chance.integers(places, size=count)]
    values += 0.3 * chance.normal(size=values.shape)
    return (values / np.linalg.norm(values, axis=1)[:, None]).astype(np.float32)


def test_a_trained_index_finds_what_an_exact_one_finds(monkeypatch):
    monkeypatch.setattr(retrieval, "EXACT", 1000)
    descriptors, index = _strewn(3000), GlobalIndex()
    index.extend(np.arange(0, 9000, 3), descriptors)
    queries = _strewn(3030)[-30:]
    exact = [index.search(q, 5) for q in queries]
    some = np.arange(0, 9000, 90)
    exact_of_some = [index.search(q, 5, some) for q in queries]

    index.take(index.training().run())

    assert index.training() is None
    found = [index.search(q, 5) for q in queries]
    assert len(index) == 3000
    assert np.mean([len({*a} & {*b}) for a, b in zip(exact, found, strict=True)]) > 4.7
    # With few to choose from, none is missed.
    assert [index.search(q, 5, some) for q in queries] == exact_of_some
    index.remove(found[0][0])
    assert index.search(queries[0], 4) == found[0][1:]
    index.add(9001, queries[0])
    assert index.search(queries[0], 1) == [9001]


@pytest.mark.parametrize("again", [False, True])
def test_an_index_is_used_and_changed_while_it_is_trained(monkeypatch, again):
    descriptors, index = _strewn(60), GlobalIndex()
    monkeypatch.setattr(retrieval, "EXACT", 10)
    index.extend(np.arange(50), descriptors[:50])
    if again:
        index.take(index.training().run())
        monkeypatch.setattr(retrieval, "_GROWN", 0)
    train, went_on = trained_index.train, []

    def meanwhile(told):
        index.add(50, descriptors[50])
        index.remove(3)
        went_on.append(index.search(descriptors[50], 1))
        return train(told)

    monkeypatch.setattr(trained_index, "train", meanwhile)
    index.take(index.training().run())

    assert went_on == [[50]]
    assert len(index) == 50
    assert index.search(descriptors[50], 1) == [50]
    assert 3 not in index.search(descriptors[3], 50)


def test_places_are_found_without_a_scan_as_by_one():
    chance, places = np.random.default_rng(0), Places()
    poses = np.tile(np.eye(4), (300, 1, 1))
    poses[:, :3, 3] = chance.normal(scale=[20.0, 20.0, 1.0], size=(300, 3))
    yes = np.ones(200, bool)
    places.extend(np.arange(200), poses[:200], yes, ~yes)
    for number in range(200, 300):
        places.put(Place(number, poses[number], False, True))
    for number in (3, 250, 7):
        places.remove(number)
    places.put(Place(400, poses[3], True, True))
    places.put(Place(8, poses[250], True, True))
    now = {**dict(enumerate(poses)), 400: poses[3], 8: poses[250]}
    for number in (3, 250, 7):
        del now[number]

    for radius in (0.0, 0.5, 3.0, 15.0, 1e9, np.inf):
        for center in (poses[3, :3, 3], np.zeros(3), np.full(3, 1e12)):
            ids, found = places.near(center, radius)
            near = [i for i, p in now.items() if np.linalg.norm(p[:3, 3] - center) <= radius]
            assert sorted(ids.tolist()) == sorted(near)
            for keyframe_id, pose in zip(ids.tolist(), found, strict=True):
                np.testing.assert_array_equal(pose, now[keyframe_id])
    assert places.ids.tolist() == list(now)
    assert places.unsensed == (~places.sensed).sum() == 99
    np.testing.assert_array_equal(places.poses, np.array(list(now.values())))
    assert (places[8].sensed, places[9].sensed, places[9].calibrated) == (True, True, False)


def test_descriptors_of_another_length_are_refused():
    index = GlobalIndex()
    index.add(0, np.ones(4, np.float32))

    with pytest.raises(ValueError, match="length 5, the map's have 4"):
        index.add(1, np.ones(5, np.float32))
    assert len(index) == 1


def test_a_gpu_gets_the_descriptors_once_and_then_what_is_added(monkeypatch):
    """With a copy on the CPU in the GPU's place: how often it is made, and what it holds."""
    copies = []

    def upload(resources, device, index):
        assert (resources, device) == ("resources", 0)
        copies.append(faiss.clone_index(index))
        return copies[-1]

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2, raising=False)
    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: "resources", raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", upload, raising=False)
    index, query = GlobalIndex(), np.array([1.0, 0.0], np.float32)
    index.add(5, query)

    assert index.search(query, 3) == [5]
    index.add(6, query[::-1])
    index.add(7, np.sqrt(np.array([0.5, 0.5], np.float32)))
    assert index.search(query, 3) == [5, 7, 6]
    assert len(copies) == 1
    assert copies[0].ntotal == 3
    index.remove(5)
    assert index.search(query, 3) == [7, 6]
    assert len(copies) == 2


def _errors_of_points(keyframe, world) -> np.ndarray:
    """Relative depth errors of a keyframe's points, against what was rendered."""
    points = keyframe.description.points.astype(float)
    points = points[np.isfinite(points).all(axis=1)]
    truth = view(keyframe.pose, world).depth
    u, v = np.rint(make_camera().project(points)).astype(int).T
    return np.abs(points[:, 2] / truth[v, u] - 1.0)


def test_keyframes_without_depth_get_meters_from_one_another(sift):
    keyframes = KeyframeMap(sift)
    first = keyframes.add(view(camera_pose(), depth=False), camera_pose())
    assert np.isnan(keyframes[first].description.points).all()
    other = camera_pose(0.25, 0.05, turn=-0.05)

    second = keyframes.add(view(other, depth=False), other)

    for keyframe_id in (first, second):
        errors = _errors_of_points(keyframes[keyframe_id], ROOM)
        assert len(errors) > 80
        assert np.median(errors) < 0.02
        # Corners at the panels' edges have the depth of either side.
        assert (errors < 0.1).mean() > 0.9
        assert not keyframes[keyframe_id].sensed


def test_depth_that_was_sensed_is_kept(sift):
    keyframes = KeyframeMap(sift)
    keyframes.add(view(camera_pose()), camera_pose())
    before = keyframes[0].description.points

    second = keyframes.add(view(camera_pose(0.25), depth=False), camera_pose(0.25))

    assert keyframes[0].description.points is before
    assert np.median(_errors_of_points(keyframes[second], ROOM)) < 0.02


def test_no_meters_from_the_same_place_from_afar_or_from_another_room(sift):
    for pose, world in (
        (camera_pose(0.001), ROOM),
        (camera_pose(0.25, turn=2.0), ROOM),
        (camera_pose(0.25), OTHER_ROOM),
    ):
        keyframes = KeyframeMap(sift)
        keyframes.add(view(camera_pose(), depth=False), camera_pose())
        keyframes.add(view(pose, world, depth=False), pose)

        known = np.isfinite(keyframes[0].description.points).all(axis=1)
        assert known.sum() < 10


def test_no_meters_without_a_camera(sift):
    keyframes = KeyframeMap(sift)
    blind = Frame(view(camera_pose()).image)
    for frame, x in ((blind, 0.0), (view(camera_pose(0.25), depth=False), 0.25), (blind, 0.5)):
        keyframes.add(frame, camera_pose(x))

    for keyframe in keyframes:
        assert np.isnan(keyframe.description.points).all()


def test_points_can_wait_and_are_then_what_they_would_have_been(sift):
    poses = [camera_pose(x, turn=-0.1 * x) for x in (0.0, 0.25, 0.4)]
    at_once, later = KeyframeMap(sift), KeyframeMap(sift)
    for pose in poses:
        at_once.add(view(pose, depth=False), pose)
        later.add(view(pose, depth=False), pose, triangulate=False)
    for keyframe in later:
        assert np.isnan(keyframe.description.points).all()

    assert at_once.next_neighborhood() is None
    matched = []
    while (found := later.next_neighborhood()) is not None:
        matched.append((found.keyframe.id, {neighbor.id for neighbor in found.neighbors}))
        later.take_points(found.triangulated())
    assert matched == [(1, {0}), (2, {0, 1})]

    for one, other in zip(at_once, later, strict=True):
        np.testing.assert_array_equal(one.description.points, other.description.points)
        np.testing.assert_array_equal(one.description.depth_sigma, other.description.depth_sigma)
        assert np.isfinite(one.description.points).all(axis=1).sum() > 80


def test_a_keyframe_that_was_removed_meanwhile_is_passed_over(sift):
    keyframes = KeyframeMap(sift)
    for x in (0.0, 0.25, 0.4):
        keyframes.add(view(camera_pose(x), depth=False), camera_pose(x), triangulate=False)

    keyframes.remove(1)

    keyframes.triangulate()

    assert len(keyframes) == 2
    for keyframe in keyframes:
        assert np.median(_errors_of_points(keyframe, ROOM)) < 0.02


def test_a_new_keyframe_costs_six_pairs_at_the_most(sift, monkeypatch):
    matched, own = [], triangulation.triangulate_pair
    monkeypatch.setattr(
        triangulation,
        "triangulate_pair",
        lambda one, other, fe: matched.append((one.id, other.id)) or own(one, other, fe),
    )
    keyframes = KeyframeMap(sift)
    for number in range(9):
        pose = camera_pose(0.05 * number)
        keyframes.add(view(pose, depth=number == 0), pose)
    before = len(matched)

    pose = camera_pose(0.45)
    keyframes.add(view(pose, depth=False), pose)
    keyframes.add(view(pose, depth=True), camera_pose(0.5))

    assert before == sum(min(number, 6) for number in range(9))
    assert [one for one, _ in matched[before:]] == [9] * 6 + [10] * 6
    assert (10, 0) not in matched


def test_neighbors_are_the_first_from_another_place_that_look_the_same_way():
    keyframes = KeyframeMap(ToldFrontEnd())
    for number, (x, turn) in enumerate(
        [(0.0, 0.0), (0.5, 0.0), (0.1, 1.5), (2.0, 0.2), (0.001, 0.0), (1.0, 0.0)]
    ):
        frame = numbered(number, camera=None if number == 1 else make_camera(64, 48))
        keyframes.add(frame, camera_pose(x, turn=turn))

    places = [keyframes._keyframes.places[i] for i in range(6)]

    assert _ids(choose_neighbors(keyframes[0], places, 3)) == [3, 5]
    assert _ids(choose_neighbors(keyframes[0], places, 1)) == [3]
    assert choose_neighbors(keyframes[1], places, 3) == []


def test_matches_in_blocks_are_those_of_one_table(sift, monkeypatch):
    one, other = (sift.describe(view(p, depth=False)) for p in (camera_pose(), camera_pose(0.25)))
    # Rectified: the same row in both.
    v = one.keypoints[:, 1].astype(float)
    lines = np.column_stack([np.zeros_like(v), np.ones_like(v), -v])

    blocks = []
    for size in (7, 256, 100_000):
        monkeypatch.setattr(features, "_BLOCK", size)
        blocks.append(sift.match_along_lines(one, other, lines, 3.0))

    assert len(blocks[0]) > 80
    for block in blocks[1:]:
        np.testing.assert_array_equal(block, blocks[0])


@pytest.mark.parametrize(("size", "small"), [((640, 480), (480, 360)), ((1, 2000), (1, 480))])
def test_thumbnails_are_small(size, small):
    image = np.full((size[1], size[0], 3), (200, 30, 30), np.uint8)

    thumbnail = decode_thumbnail(make_thumbnail(image))

    assert thumbnail.shape == (small[1], small[0], 3)
    np.testing.assert_allclose(thumbnail.reshape(-1, 3).mean(0), (200, 30, 30), atol=6)


def test_a_thumbnail_that_is_no_jpeg_is_named():
    with pytest.raises(ValueError, match="5 bytes is not a JPEG"):
        decode_thumbnail(b"hello")
