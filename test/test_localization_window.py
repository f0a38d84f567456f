# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The images of the last seconds: matched once, forgotten in time, never trusted blindly."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from synthetic import camera_pose
from test_localization_views import _BODY, _CAMERA, _KEYFRAMES, _SIZE, _common, _PairedFrontEnd
from told import numbered

from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization import relocalizer
from mast3r_ros.localization.expected import Sight
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization, Reason
from mast3r_ros.localization.view import View
from mast3r_ros.localization.window import Window, WindowOptions

_STEP = transforms.perturb(np.eye(4), [0.1, 0.0, 0.02, 0.0, 0.01, 0.0])
_ODOM = transforms.perturb(np.eye(4), [5.0, -3.0, 0.0, 0.0, 0.7, 0.0])  # where odometry began


class _Counting(_PairedFrontEnd):
    """Counts what it is asked for."""

    described = 0
    compared = 0

    def describe(self, frame):
        self.described += 1
        return super().describe(frame)

    def match(self, references, query, *, query_points=False):
        self.compared += len(references)
        return super().match(references, query, query_points=query_points)


def _drive(count, start=_BODY, step=_STEP):
    bodies = [start]
    while len(bodies) < count:
        bodies.append(bodies[-1] @ step)
    return bodies


def _window(bodies, options=None, **about):
    """A map of two keyframes, told what they have in common with the image of each body."""
    wild = about.pop("wild", ())
    front_end = _Counting(
        {
            (k, 100 + i): _common(pose, body, k + 100 * i, wild=i in wild, **about)
            for k, pose in enumerate(_KEYFRAMES)
            for i, body in enumerate(bodies)
        }
    )
    keyframes = KeyframeMap(front_end)
    for number, pose in enumerate(_KEYFRAMES):
        keyframes.add(numbered(number, _SIZE, camera=_CAMERA), pose)
    front_end.described = front_end.compared = 0
    return Window(Relocalizer(keyframes), options)


def _frame(number, seconds):
    return numbered(100 + number, _SIZE, camera=_CAMERA, stamp=round(seconds * 1e9))


def _run(window, bodies, interval=0.4, odometry=None):
    """Localize image after image; odometry is exact unless given."""
    tied = odometry or [_ODOM @ transforms.inverse(bodies[0]) @ body for body in bodies]
    return [window.localize(_frame(i, 1.0 + interval * i), pose) for i, pose in enumerate(tied)]


def test_each_image_is_described_and_matched_once():
    bodies = _drive(8)
    window = _window(bodies)

    answers = _run(window, bodies)

    front_end = window.relocalizer.map.front_end
    assert front_end.described == 8
    assert front_end.compared == 16  # each with two keyframes
    assert [len(answer.views) for answer in answers] == [1, 2, 3, 4, 5, 5, 5, 5]
    for answer, body in zip(answers, bodies, strict=True):
        assert transforms.distance(answer.pose, body) < 0.03
    # Matches are all that is kept of the past.
    past = [view for entry in window._instants[1:] for view in entry.views]
    assert past
    assert all(view.query is None for view in past)
    assert list(answers[-1].timings) == ["describe", "retrieve", "match", "solve"]


def test_a_window_of_one_is_the_image_by_itself():
    bodies = _drive(3)
    window = _window(bodies, WindowOptions(count=1))

    answers = _run(window, bodies)

    for i, answer in enumerate(answers):
        alone = window.relocalizer.localize(_frame(i, 1.0))
        np.testing.assert_array_equal(answer.pose, alone.pose)
        np.testing.assert_array_equal(answer.covariance, alone.covariance)


def test_images_that_are_too_close_in_time_are_not_all_kept():
    bodies = _drive(40, step=transforms.perturb(np.eye(4), [0.005, 0.0, 0.0, 0.0, 0.0, 0.0]))
    window = _window(bodies)

    answers = _run(window, bodies, interval=0.03)

    # 1.2 s at 33 Hz: images of 0.4 s apart are solved, those of 0.1 s apart kept.
    assert len(answers[-1].views) == 4
    assert len(window) < 14


@pytest.mark.no_cover
def test_memory_is_bounded_over_ten_minutes():
    bodies = _drive(2, step=np.eye(4))
    window = _window(bodies, WindowOptions(spacing=0.0, max_age=600.0))
    window.relocalizer.solve = _not_solved
    kept = []

    for i in range(300):
        window.localize(_frame(i % 2, 2.0 * i), np.eye(4))
        kept.append(len(pickle.dumps(window._instants)))

    assert len(window) == 21
    assert max(kept) < 1.01 * max(kept[20:30])


def _not_solved(views, timings, again=False):
    """Solving keeps nothing, and takes long."""
    return Localization(Reason.FEW_MATCHES, "not solved")


def test_old_far_and_turned_away_images_are_forgotten():
    bodies = _drive(6)
    for options in (
        WindowOptions(max_age=0.9),
        WindowOptions(max_distance=0.21),
        WindowOptions(max_angle=0.021),
    ):
        answers = _run(_window(bodies, options), bodies)

        assert [len(answer.views) for answer in answers] == [1, 2, 3, 3, 3, 3]


@pytest.mark.parametrize("kind", ["time", "odometry", "reset"])
def test_a_jump_starts_the_window_over(kind):
    bodies = _drive(5)
    window = _window(bodies)
    odometry = [_ODOM @ transforms.inverse(bodies[0]) @ body for body in bodies]
    for i in range(3):
        window.localize(_frame(i, 10.0 + 0.4 * i), odometry[i])
    seconds = 2.0 if kind == "time" else 11.2
    jumped = odometry[3]
    if kind == "odometry":
        jumped = transforms.make(jumped[:3, :3], jumped[:3, 3] + [0.0, 20.0, 0.0])
    if kind == "reset":
        window.reset()

    answer = window.localize(_frame(3, seconds), jumped)

    assert len(answer.views) == 1
    assert transforms.distance(answer.pose, bodies[3]) < 0.03


def test_a_robot_that_was_carried_away_is_found_by_the_new_image_alone():
    away = camera_pose(1.1, 1.2, 0.3, turn=0.45)
    bodies = [*_drive(5), away]
    window = _window(bodies)
    # Odometry saw nothing of it: lifted, carried, put down.
    driven = [*_drive(5), _drive(6)[5]]

    answers = _run(window, bodies, odometry=driven)

    assert [len(a.views) for a in answers[:5]] == [1, 2, 3, 4, 5]
    assert transforms.distance(away, driven[5]) > 0.8
    assert answers[5].localized, answers[5].message
    assert transforms.distance(answers[5].pose, away) < 0.03
    assert len(answers[5].views) == 1
    assert len(window) == 1


def test_images_that_contradict_old_ones_go_on_without_those():
    away = camera_pose(1.1, 1.2, 0.3, turn=0.45)
    step = transforms.inverse(_drive(2)[0]) @ _drive(2)[1]
    bodies = [*_drive(5), away, away @ step]
    # The first image of the new place says nothing, so that the window starts over one later.
    window = _window(bodies, wild=(5,))
    driven = [*_drive(5), *_drive(7)[5:]]

    answers = _run(window, bodies, odometry=driven)

    assert not answers[5].localized
    assert answers[6].localized, answers[6].message
    assert transforms.distance(answers[6].pose, away @ step) < 0.03
    assert len(answers[6].views) == 2
    assert len(window) == 2


@pytest.mark.parametrize("matches", ["none", "chance"])
def test_an_image_that_sees_nothing_is_not_localized_by_those_before(matches):
    bodies = _drive(5)
    window = _window(bodies, wild=(3,) if matches == "chance" else ())
    if matches == "none":
        told = window.relocalizer.map.front_end.matches
        for keyframe in range(len(_KEYFRAMES)):
            told[keyframe, 103] = told[keyframe, 103].select(np.zeros(0, int))

    answers = _run(window, bodies)

    assert answers[3].reason is Reason.FEW_INLIERS
    assert "in the newest image" in answers[3].message
    assert answers[3].pose is None
    # It is one of those that the next image is solved with.
    assert len(answers[4].views) == 5
    assert transforms.distance(answers[4].pose, bodies[4]) < 0.03


@pytest.mark.parametrize("count", [5, 1])
def test_an_image_that_matches_too_little_is_confirmed_where_odometry_expects_it(
    monkeypatch, count
):
    bodies = _drive(3)
    window = _window(bodies, WindowOptions(count=count))
    told = window.relocalizer.map.front_end.matches
    for keyframe in range(len(_KEYFRAMES)):
        told[keyframe, 102] = told[keyframe, 102].select(np.zeros(0, int))
    asked = []

    def seen(_keyframes, _view, expected, _enough):
        asked.append(expected)
        return Sight(100, 20)

    monkeypatch.setattr(relocalizer, "seen_as_expected", seen)
    *_, before, answer = _run(window, bodies)

    assert answer.localized is bool(asked) is (count > 1)  # one image is judged by itself
    if asked:
        moved = before.pose @ transforms.inverse(bodies[1]) @ bodies[2]
        np.testing.assert_allclose(answer.pose, moved, atol=1e-9)
        assert (np.diag(answer.covariance) > np.diag(before.covariance)).all()
        assert answer.fresh == 0.0
        assert not answer.matches
        # It is no start of another one: only so long after the last answer of its own.
        late = _frame(2, 1.4 + window.options.max_age + 0.1)
        assert not window.localize(
            late, _ODOM @ transforms.inverse(bodies[0]) @ bodies[2]
        ).localized


def test_an_image_that_odometry_puts_a_little_beside_its_matches_is_localized_with_fewer():
    bodies = _drive(5)
    window = _window(bodies)
    # The images before hold more matches.
    told = window.relocalizer.map.front_end.matches
    for keyframe in range(len(_KEYFRAMES)):
        told[keyframe, 104] = told[keyframe, 104].select(np.arange(30))
    odometry = [_ODOM @ transforms.inverse(bodies[0]) @ body for body in bodies]
    odometry[4] = transforms.perturb(odometry[4], [0.0, 0.0, 0.0, 0.0, 0.08, 0.0])

    answer = _run(window, bodies, odometry=odometry)[4]

    assert answer.localized, answer.message
    assert len(answer.views) == window.history == 1
    assert transforms.distance(answer.pose, bodies[4]) < 0.05
    assert len(window) == 5  # those before go on with the next one


def test_an_answer_tells_what_the_newest_image_adds():
    bodies = _drive(3)
    window = _window(bodies)
    told, few = window.relocalizer.map.front_end.matches, 5
    for keyframe in range(len(_KEYFRAMES)):
        kept = np.arange(few if keyframe == 0 else 0)
        told[keyframe, 102] = told[keyframe, 102].select(kept)

    answers = _run(window, bodies)

    needed = window.relocalizer.min_inliers
    assert [a.fresh for a in answers] == [1.0, 1.0, pytest.approx(few / needed)]
    assert all(a.localized for a in answers)


@pytest.mark.parametrize(
    ("depths", "count", "shown"),
    [((1.0, 3.0), 30, (0.9, 1.0)), ((150.0, 200.0), 30, (0.0, 0.3)), ((1.0, 3.0), 4, (0.0, 0.0))],
)
def test_an_answer_tells_whether_the_newest_image_would_show_a_bump(depths, count, shown):
    bodies = _drive(3)
    window = _window(bodies)
    told = window.relocalizer.map.front_end.matches
    seen = _common(_KEYFRAMES[0], bodies[2], 7, count=count, depths=depths)
    told[0, 102], told[1, 102] = seen, seen.select(np.zeros(0, int))

    answers = _run(window, bodies)

    assert [a.bump_shown for a in answers[:2]] == [1.0, 1.0]  # the first two see plenty
    assert answers[2].localized, answers[2].message
    assert shown[0] <= answers[2].bump_shown <= shown[1]


def test_an_image_that_contradicts_the_others_is_no_query_with_them():
    elsewhere = camera_pose(1.1, 1.2, 0.3, turn=0.45)
    bodies = [_BODY, elsewhere, *_drive(4)[2:]]
    window = _window(bodies, wild=(3,))
    claimed = _drive(4)
    views = [
        View(_frame(i, 1.0), T_now_then=transforms.inverse(claimed[3]) @ claimed[i])
        for i in (3, 2, 1, 0)
    ]

    answer = window.relocalizer.localize(views)
    right = window.relocalizer.localize([views[0], views[1], views[3]])

    # Two images against one, and the newest sees nothing of the map: no pose is safe.
    assert answer.reason is Reason.DISAGREEING, answer.message
    assert "image 3 of 4" in answer.message
    assert answer.pose is None
    assert transforms.distance(right.pose, claimed[3]) < 0.03


def test_keyframes_that_leave_the_map_leave_the_window():
    bodies = _drive(4)
    window = _window(bodies)
    keyframes = window.relocalizer.map
    _run(window, bodies[:3])

    keyframes.remove(0)
    answer = window.localize(_frame(3, 2.2), _ODOM @ transforms.inverse(bodies[0]) @ bodies[3])

    assert answer.localized
    assert {match.keyframe_id for match in answer.matches} == {1}
    assert len(answer.views) == 4


def test_odometry_that_is_no_pose_is_refused():
    window = _window(_drive(1))

    with pytest.raises(ValueError, match="odom_body"):
        window.localize(_frame(0, 1.0), np.full((4, 4), np.nan))
    assert len(window) == 0


def test_noise_of_odometry_is_what_the_options_state():
    options = WindowOptions(distance_noise=0.05, rotation_noise=0.01)

    covariance = options.step_covariance(transforms.make(np.eye(3), [3.0, 0.0, 4.0]))

    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [0.25] * 3 + [0.01] * 3)
    with pytest.raises(ValueError, match="count"):
        replace(options, count=0)


_ELSEWHERE = transforms.make(np.eye(3), [40.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("reason", "confirmed"),
    [
        (Reason.UNCERTAIN, True),
        # The last answer may be at the other place.
        (Reason.AMBIGUOUS, False),
        (Reason.DISAGREEING, False),
    ],
)
def test_an_image_refused_for_too_little_alone_is_confirmed_by_odometry(
    monkeypatch, reason, confirmed
):
    monkeypatch.setattr(relocalizer, "seen_as_expected", lambda *_: Sight(100, 20))
    bodies = _drive(3)
    window = _window(bodies)
    solve = window.relocalizer.solve

    def refused(views, timings, again=False):
        """All that has to do with the third image is refused."""
        answer = solve(views, timings, again)
        if views[0].query is None or int(views[0].query.number[0]) != 102:
            return answer
        places = (answer.pose, _ELSEWHERE @ answer.pose) if reason is Reason.AMBIGUOUS else ()
        return replace(answer, reason=reason, pose=None, places=places)

    window.relocalizer.solve = refused
    last = _run(window, bodies)[-1]

    assert last.localized is confirmed
    if confirmed:
        assert transforms.distance(last.pose, bodies[-1]) < 0.03
        assert last.fresh == 0.0


@pytest.mark.parametrize("case", ["alone", "unseen", "disagrees"])
def test_what_the_newest_image_alone_says_of_two_places_counts(case):
    bodies = _drive(5)
    window = _window(bodies)
    relocalizer = window.relocalizer
    # A keyframe of the other place, which no image was matched with, as it looks unlike them all.
    told = relocalizer.map.front_end.matches
    told.update({(2, 100 + i): told[0, 100 + i].select(np.zeros(0, int)) for i in range(5)})
    there = _ELSEWHERE @ _KEYFRAMES[0]
    if case == "unseen":
        there = _ELSEWHERE @ there
    third = relocalizer.map.add(numbered(2, _SIZE, camera=_CAMERA), there)
    relocalizer.map.nearest = lambda *_: [k for k in relocalizer.map if k.id != third]
    solve, compared = relocalizer.solve, []

    def ambiguous(views, timings, again=False):
        """Of several images, a part is at the other place as well."""
        answer = solve(views, timings, again)
        if len(views) == 1:
            compared.append([k.id for k in views[0].keyframes])
            return answer
        best = _ELSEWHERE if case == "disagrees" else answer.pose
        places = (best, _ELSEWHERE @ answer.pose)
        return replace(answer, reason=Reason.AMBIGUOUS, pose=None, places=places)

    relocalizer.solve = ambiguous

    last = _run(window, bodies)[-1]

    if case == "alone":
        assert last.localized
        assert transforms.distance(last.pose, bodies[-1]) < 0.03
        assert window.history == len(last.views) == 1
        assert third in compared[-1]
    else:
        assert last.reason is Reason.AMBIGUOUS
        assert third not in compared[-1]
