# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The third act: a drive that comes with the package, and the page about it."""

from dataclasses import replace

import numpy as np
import pytest

from mast3r_ros.demo import drive
from mast3r_ros.geometry import transforms
from mast3r_ros.training.worlds.routes import Event


@pytest.fixture(scope="module")
def driven():
    return drive.read_drive()


def test_the_drive_comes_with_its_truth(driven):
    assert len(driven.keyframes) == 32
    view = driven.keyframes[0]
    assert view.image.shape == (240, 320, 3)
    assert np.isfinite(view.depth).mean() > 0.9
    events = [moment.event for moment in driven.moments if moment.event is not None]
    assert events == [Event.START, Event.DARK, Event.LIGHT, Event.BUMP, Event.CARRIED]
    for moment, (seen,) in driven.views():
        assert transforms.is_rigid(moment.body)
        assert moment.dark == (seen.image.max() == 0)


def test_the_drive_can_be_rendered_again(tmp_path, monkeypatch, driven):
    pytest.importorskip("moderngl")
    from mast3r_ros.demo import render_drive

    theirs = driven.keyframes[0]
    world = render_drive.DriveWorld(render_drive._SIZE)
    again = world.drive(driven.seed, 1, render_drive._MOMENTS)

    np.testing.assert_allclose(again.keyframes[0].pose, theirs.pose, atol=1e-9)
    np.testing.assert_allclose(again.moments[-1].body, driven.moments[-1].body, atol=1e-9)
    # Drivers of OpenGL round differently.
    assert np.abs(again.keyframes[0].image.astype(int) - theirs.image).mean() < 6.0
    monkeypatch.setattr(render_drive, "_first_large", lambda _: (driven.seed, _short(again)))
    render_drive.render(tmp_path)
    written = drive.read_drive(tmp_path)
    assert len(written.moments) == 2
    difference = np.abs(written.keyframes[0].depth - again.keyframes[0].depth)
    assert np.nanmedian(difference) < 0.01


def _short(driven, moments=2):
    return replace(driven, keyframes=driven.keyframes[:2], moments=driven.moments[:moments])


def _some(driven, kept):
    """The drive at some of its moments."""
    moments, images = (tuple(all_[i] for i in kept) for all_ in (driven.moments, driven.images))
    return replace(driven, moments=moments, images=images)


@pytest.mark.no_cover
def test_the_robot_is_found_at_the_start_and_after_being_carried_away(
    tmp_path, monkeypatch, driven, capsys
):
    """At a third of the moments, to save time; each event but the dark is among them."""
    pytest.importorskip("torch")
    kept = [*range(5), 25, 26, *range(34, 44)]
    short = _some(driven, kept)
    monkeypatch.setattr(drive, "read_drive", lambda: short)

    assert drive.show_drive(tmp_path, "xfeat"), capsys.readouterr().out

    assert "NOT PASSED" not in (tmp_path / "drive.html").read_text()
    assert "found after" in capsys.readouterr().out


def test_the_page_says_that_a_robot_was_not_found_again(tmp_path, monkeypatch, driven, capsys):
    # Six keyframes and four moments, of which one is after the robot was carried away.
    short = replace(_some(driven, [*range(3), 34]), keyframes=driven.keyframes[:6])
    monkeypatch.setattr(drive, "read_drive", lambda: short)

    assert drive.show_drive(tmp_path, "sift") is False

    page = (tmp_path / "drive.html").read_text()
    assert "NOT PASSED" in page
    assert page.count("data:image/svg+xml") == 2
    assert "carried away" in page
    assert "never found" in capsys.readouterr().out
