# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A later drive adds to a map what it needs, where it stands, and no more."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from synthetic import ROOM, camera_pose, view
from test_cli import run
from told import ToldFrontEnd, numbered

from mast3r_ros.cli.maps import open_map
from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.frontends.options import SiftOptions
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.options import RelocalizerOptions
from mast3r_ros.localization.relocalizer import Relocalizer
from mast3r_ros.localization.result import Localization, Reason
from mast3r_ros.mapping.options import UpdateOptions
from mast3r_ros.mapping.updating import Outcome, Update

COVARIANCE = np.diag([1e-4] * 3 + [1e-5] * 3)
# The source's poses lie in a frame of their own.
DRIVEN_MAP = camera_pose(x=5.0, y=1.0, turn=0.7)


def _found(pose, inliers=100, protection=(0.05, 0.01)) -> Localization:
    position, rotation = protection
    return Localization(
        Reason.LOCALIZED,
        "",
        pose,
        COVARIANCE,
        inliers=inliers,
        protection_position=position,
        protection_rotation=rotation,
    )


REFUSED = Localization(Reason.FEW_INLIERS, "")


def _update(answers, options=None, driven=None, keyframes=None):
    """Look through images that are answered so; `driven`: their poses by the source."""
    keyframes = keyframes or KeyframeMap(ToldFrontEnd())
    left = iter(answers)
    relocalizer = SimpleNamespace(map=keyframes, min_inliers=20, localize=lambda _: next(left))
    update = Update(relocalizer, options or UpdateOptions())
    poses = driven or [None] * len(answers)
    images = [(PosedImage(str(i), pose, None), numbered(i)) for i, pose in enumerate(poses)]
    assert sum(1 for _ in update.look_through(images)) == len(images)
    assert update.outcomes.total() == len(images)
    return update


def test_what_is_known_well_adds_nothing_and_what_is_weak_does():
    strong, weak = _found(camera_pose(x=1.0)), _found(camera_pose(x=2.0), inliers=79)
    update = _update([strong, weak, REFUSED])

    assert update.outcomes == {Outcome.KNOWN: 1, Outcome.WEAK: 1, Outcome.LOST: 1}
    update.apply()
    (added,) = update._relocalizer.map
    np.testing.assert_allclose(added.pose, weak.pose)
    np.testing.assert_allclose(added.covariance, COVARIANCE)


@pytest.mark.parametrize("protection", [(0.3, 0.01), (0.05, 0.1)])
def test_a_weak_pose_that_is_not_sure_is_not_believed(protection):
    update = _update([_found(camera_pose(), 30, protection)])

    assert update.outcomes == {Outcome.UNSURE: 1}
    assert not update.chosen


def test_a_place_holds_so_many_keyframes():
    keyframes = KeyframeMap(ToldFrontEnd())
    keyframes.add(numbered(9), camera_pose(x=0.3))
    # Another place, and one that looks another way.
    keyframes.add(numbered(8), camera_pose(x=3.0))
    keyframes.add(numbered(7), camera_pose(turn=1.0))
    answers = [_found(camera_pose(x=0.1 * i), inliers=30) for i in range(4)]

    update = _update(answers, UpdateOptions(per_place=3), keyframes=keyframes)

    assert update.outcomes == {Outcome.WEAK: 2, Outcome.FULL: 2}


def _drive(answers, x, options, bend=None):
    """The source has the true motion, in its own frame."""
    driven = [DRIVEN_MAP @ camera_pose(x=at) for at in x]
    if bend is not None:
        driven[-1] = driven[-1] @ bend
    return _update(answers, options, driven)


def test_refused_images_between_two_sure_ones_get_their_poses():
    answers = [_found(camera_pose(x=0.0)), REFUSED, REFUSED, _found(camera_pose(x=0.6))]
    x = (0.0, 0.1, 0.5, 0.6)

    update = _drive(answers, x, UpdateOptions(bridge=1.0))

    assert update.outcomes == {Outcome.KNOWN: 2, Outcome.BRIDGED: 2}
    for new, at in zip(update.chosen, (0.1, 0.5), strict=True):
        np.testing.assert_allclose(new.pose, camera_pose(x=at), atol=1e-9)
        # What is known of the sure image, 0.1 m away, and the drift over that way.
        turned = 1e-5 * 0.1**2
        np.testing.assert_allclose(
            np.diag(new.covariance)[:3],
            [1e-4 + 0.002**2, 1e-4 + turned + 0.002**2, 1e-4 + turned + 0.002**2],
            rtol=1e-6,
        )


@pytest.mark.parametrize(
    ("x", "bridge", "bend"),
    [
        ((0.0, 0.3, 0.6), 0.0, None),  # the source's poses are not to be used
        ((0.0, 0.3, 0.6), 0.2, None),  # too far away
        ((0.0, 0.3, 0.6), 1.0, camera_pose(x=0.15)),  # the two contradict each other
        ((0.0, 0.3, 0.6), 1.0, camera_pose(turn=0.05)),
    ],
)
def test_refused_images_stay_out_where_their_pose_is_not_sure(x, bridge, bend):
    answers = [_found(camera_pose(x=0.0)), REFUSED, _found(camera_pose(x=0.6))]

    update = _drive(answers, x, UpdateOptions(bridge=bridge), bend)

    assert update.outcomes == {Outcome.KNOWN: 2, Outcome.LOST: 1}


def test_refused_images_at_the_end_are_lost():
    answers = [REFUSED, _found(camera_pose()), REFUSED]

    update = _drive(answers, (0.0, 0.1, 0.2), UpdateOptions(bridge=1.0))

    assert update.outcomes == {Outcome.LOST: 2, Outcome.KNOWN: 1}


def _evening(image):
    """The same place in other light, by a worse camera."""
    dark = np.uint8(90 * (image / 255.0) ** 1.5)
    return cv2.GaussianBlur(dark, None, 1.5)


def test_the_verb_makes_weak_images_strong(tmp_path):
    front_end = SiftFrontEnd(SiftOptions(max_keypoints=300))
    keyframes = KeyframeMap(front_end)
    for x in (-0.1, 0.1):
        keyframes.add(view(camera_pose(x=x), ROOM), camera_pose(x=x))
    keyframes.save(tmp_path / "map")
    pose = camera_pose(x=0.05, y=0.02)
    evening = view(pose, ROOM)
    images = tmp_path / "images"
    images.mkdir()
    picture = cv2.cvtColor(_evening(evening.image), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(images / "evening.png"), picture)
    camera = evening.camera
    (tmp_path / "camera.yaml").write_text(
        f"image_width: {camera.width}\nimage_height: {camera.height}\n"
        f"camera_matrix: {{rows: 3, cols: 3, data: [{camera.fx}, 0, {camera.cx}, "
        f"0, {camera.fy}, {camera.cy}, 0, 0, 1]}}\n"
        "distortion_model: plumb_bob\n"
        "distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}\n"
    )

    run("map", "update", tmp_path / "map", images, "--camera", tmp_path / "camera.yaml",
        "--weak", 1000, "--out", tmp_path / "later", "--json", tmp_path / "out.json")  # fmt: skip

    said = json.loads((tmp_path / "out.json").read_text())
    assert said["added"] == 1, said
    assert said["images"] == {Outcome.WEAK.value: 1}
    later = open_map(tmp_path / "later")
    added = later[2]
    assert transforms.distance(added.pose, pose) < 0.02
    assert added.covariance is not None
    query = view(camera_pose(x=0.0), ROOM)
    query = type(query)(_evening(query.image), query.camera)
    before, after = (
        Relocalizer(m, RelocalizerOptions()).localize(query).inliers
        for m in (open_map(tmp_path / "map"), later)
    )
    assert after > before
