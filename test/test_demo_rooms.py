# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The second act: rooms that come with the package, and the page about them."""

import json
import re

import cv2
import numpy as np
import pytest
from browser import Page

from mast3r_ros.demo import rooms
from mast3r_ros.drawing.clouds import SCRIPT, Cloud, DrawnCamera, cloud_html
from mast3r_ros.drawing.page import write_page
from mast3r_ros.evaluation.outcome import Outcome
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera


def test_the_rooms_come_with_their_truth():
    pairs = rooms.read_rooms()

    assert len(pairs) == 12
    for pair in pairs:
        assert transforms.is_rigid(pair.motion)
        assert 0.4 <= pair.overlap <= 1.0
        assert pair.reference.depth is None
        assert pair.query.depth is None
        assert pair.reference.camera.width == pair.reference.size[0]


def test_the_rooms_can_be_rendered_again(tmp_path, monkeypatch):
    pytest.importorskip("moderngl")
    from mast3r_ros.demo import render_rooms

    monkeypatch.setattr(render_rooms, "_COUNT", 1)
    render_rooms.render(tmp_path)

    (ours,) = json.loads((tmp_path / "rooms.json").read_text())
    theirs = json.loads((rooms.FOLDER / "rooms.json").read_text())[0]
    assert ours["name"] == theirs["name"]
    assert ours["reference"] == theirs["reference"]
    assert ours["query"] == theirs["query"]
    np.testing.assert_allclose(ours["motion"], theirs["motion"], atol=1e-6)
    # Drivers of OpenGL round differently.
    images = [cv2.imread(str(f / ours["query"]["image"])) for f in (tmp_path, rooms.FOLDER)]
    assert np.abs(images[0].astype(int) - images[1]).mean() < 5.0


def _outcome(meters):
    pose = None if meters is None else transforms.make(np.eye(3), [meters, 0.0, 0.0])
    return Outcome("room", np.eye(4), "", pose=pose)


@pytest.mark.parametrize(
    ("errors", "good"),
    [
        ([0.1] * 12, True),
        ([0.1] * 4 + [None] * 8, True),
        ([0.1] * 3 + [None] * 9, False),
        ([0.1] * 11 + [0.6], False),
        ([None] * 12, False),
    ],
)
def test_a_third_localized_and_none_wrongly_is_a_pass(errors, good):
    assert rooms.passes([_outcome(e) for e in errors]) is good


def test_a_cloud_is_drawn_in_a_browser(tmp_path):
    """A red wall before a camera: red points, an orange pyramid, nothing asked of the network."""
    camera = Camera(128, 96, 100.0, 100.0, 63.5, 47.5)
    v, u = np.mgrid[:96, :128].reshape(2, -1)
    points = camera.unproject(np.column_stack([u, v]), np.full(u.size, 2.0))
    points[0] = np.nan
    colors = np.tile(np.uint8([220, 20, 20]), (len(points), 1))
    drawn = DrawnCamera("keyframe", "#d9822b", np.eye(4), camera)
    html = cloud_html(Cloud(points, colors, [drawn], 0.01))

    write_page(tmp_path / "page.html", "Cloud", "", [html, SCRIPT])
    page = Page(tmp_path / "page.html", tmp_path, size=(800, 800))

    blue, green, red = page.picture.reshape(-1, 3).T.astype(int)
    assert ((red > 200) & (green < 40) & (blue < 40)).sum() > 20_000
    assert ((red == 0xD9) & (green == 0x82) & (blue == 0x2B)).sum() > 100
    assert page.requests == set()


@pytest.fixture
def small_network(tmp_path):
    torch = pytest.importorskip("torch")
    from mast3r_ros.network.checkpoint import save_checkpoint
    from mast3r_ros.network.config import MAST3RConfig
    from mast3r_ros.network.mast3r import MAST3R

    torch.manual_seed(0)
    sizes = {"encoder_width": 32, "decoder_width": 32, "encoder_heads": 2, "decoder_heads": 2}
    config = MAST3RConfig(
        patch_size=8, encoder_depth=1, decoder_depth=1, head="linear", rays=True, image_size=128,
        **sizes,
    )  # fmt: skip
    save_checkpoint(MAST3R(config), tmp_path / "small.safetensors")
    return tmp_path / "small.safetensors"


def test_an_untrained_network_is_refused_and_fails(small_network, tmp_path, monkeypatch, capsys):
    two = rooms.read_rooms()[:2]
    monkeypatch.setattr(rooms, "read_rooms", lambda: two)

    assert rooms.show_rooms(tmp_path, str(small_network)) is False

    assert "0 of 2 rooms localized" in capsys.readouterr().out.replace("\n", " ")
    page = (tmp_path / "rooms.html").read_text()
    assert "NOT PASSED" in page
    assert page.count("<canvas class=cloud") == 2
    for found in re.findall(r'data-view="([^"]*)"', page):
        assert np.isfinite(json.loads(found)).all()


@pytest.mark.no_cover
def test_the_weights_of_the_package_pass(tmp_path, capsys):
    pytest.importorskip("torch")
    from mast3r_ros.network.fetch import nano_checkpoint

    if not nano_checkpoint().is_file():
        pytest.skip("no weights in the package yet")

    assert rooms.show_rooms(tmp_path), capsys.readouterr().out
