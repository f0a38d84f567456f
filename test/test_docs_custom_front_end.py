# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The front end on the page `custom_front_end.md`."""

import re
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from synthetic import ROOM, camera_pose, view

from mast3r_ros import frontends
from mast3r_ros.frontends.base import FrontEndError
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.localization.relocalizer import Relocalizer

PAGE = Path(__file__).resolve().parents[1] / "docs/custom_front_end.md"


def block(language):
    """The only block of a language on the page."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.M | re.DOTALL)
    return found


@pytest.fixture(scope="module")
def front_end():
    """As an installed package gives it."""
    group, name, place = re.search(r'"(.+)"\]\n(\w+) = "(.+)"', block("toml")).groups()
    with pytest.MonkeyPatch.context() as patch:
        module = ModuleType(place.partition(":")[0])
        # A package and its module, where imports look for them.
        patch.setitem(sys.modules, module.__name__.partition(".")[0], ModuleType("package"))
        patch.setitem(sys.modules, module.__name__, module)
        exec(compile(block("python"), str(PAGE), "exec"), module.__dict__)
        found = EntryPoints([EntryPoint(name, place, group)])
        patch.setattr(frontends, "entry_points", lambda group: found.select(group=group))
        assert name in frontends.names()
        yield frontends.create(name)


def test_its_code_is_as_short_as_the_page_says():
    code = [line for line in block("python").splitlines() if line.strip()]
    assert len(code) <= 40


def test_it_localizes_and_its_maps_are_saved(front_end, tmp_path):
    keyframes = KeyframeMap(front_end)
    for x in (-0.4, 0.0, 0.4):
        keyframes.add(view(camera_pose(x), ROOM), camera_pose(x))
    keyframes.save(tmp_path / "map")
    loaded = KeyframeMap.load(tmp_path / "map", front_end)
    truth = camera_pose(0.1, 0.05, 0.1, turn=0.05)
    found = Relocalizer(loaded).localize(view(truth, ROOM, depth=False))
    assert found.localized, found.message
    assert transforms.distance(found.pose, truth) < 0.03
    assert transforms.rotation_angle(found.pose, truth) < np.deg2rad(1.0)


def test_it_refuses_what_it_cannot_do(front_end):
    described = front_end.describe(view(camera_pose(), ROOM))
    with pytest.raises(FrontEndError, match="your_matcher"):
        front_end.match([described], described, query_points=True)
