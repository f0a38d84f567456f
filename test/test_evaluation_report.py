# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The page about an evaluation, and what it shows."""

import re

import numpy as np
import pytest
from browser import Page

from mast3r_ros.drawing.matches import draw_matches
from mast3r_ros.drawing.page import Picture
from mast3r_ros.drawing.plots import Histogram, histograms, top_view
from mast3r_ros.evaluation.outcome import Outcome
from mast3r_ros.evaluation.report import Row, figures_table, write_report
from mast3r_ros.evaluation.summary import BOUNDS, summarize
from mast3r_ros.geometry import transforms

# An optical frame in a map with its z axis up, looking along x.
LOOK = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
TRUTH = transforms.make(LOOK, [1.0, 2.0, 0.5])


def _outcomes():
    near = transforms.perturb(TRUTH, [0.01, 0, 0, 0, 0, 0.001])
    far = transforms.perturb(TRUTH, [3.0, 0, 0, 0, 0, 0])
    return [
        Outcome(
            "first <b>",
            TRUTH,
            "localized",
            "",
            near,
            0.01 * np.eye(6),
            0.9,
            4,
            50,
            5,
            {"solve": 0.012},
        ),
        Outcome("second", TRUTH, "localized", "", far, np.eye(6), 0.3, 4, 20, 5, {"solve": 0.3}),
        Outcome("third", TRUTH, "few_inliers", "too few <i>", inliers=3),
    ]


def _row(outcomes, pictures):
    labels = {"recording": "walk", "front_end": "sift"}
    return Row(labels, outcomes, summarize(outcomes), {4: TRUTH}, {4: "hall"}, pictures)


def _write(path, outcomes, pictures):
    write_report(path, "Title & all", "what it is", [_row(outcomes, pictures)], BOUNDS)


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "deep" / "report.html"
    picture = Picture("first", "so and so", np.full((20, 30, 3), 90, np.uint8))
    _write(path, _outcomes(), {"Matches": [picture], "None": []})
    return path


def test_the_page_needs_nothing_else(page):
    text = page.read_text()

    assert set(re.findall(r'(?:src|href)="([^"]{5})', text)) == {"data:"}
    assert "<script" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_every_query_has_its_row_and_text_is_no_markup(page):
    text = page.read_text()

    total, *rows = re.findall(r"<tr[^>]*><td>.*?</tr>", text)
    assert re.findall(r"<td[^>]*>(.*?)</td>", total)[:4] == ["walk", "sift", "3", "66.7 %"]
    assert len(rows) == 3
    cells = re.findall(r"<td[^>]*>(.*?)</td>", rows[0])
    assert cells == ["first &lt;b&gt;", "hall", "", "1.00", "0.06", "0.0101", "50", "12"]
    assert ["class=bad" in row for row in rows] == [False, True, True]
    assert "refused: too few &lt;i&gt;" in rows[2]
    assert "Title &amp; all" in text
    assert "<h2>None</h2>" not in text


def test_the_page_in_a_browser(page, tmp_path):
    shown = Page(page, tmp_path)

    assert shown.picture.std() > 10
    assert shown.dom.count("<tr") == 6
    assert shown.dom.count("<img") == 6
    assert shown.requests == set()


def test_a_request_would_be_seen(tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<img src="http://images.invalid/a.png">')

    assert Page(page, tmp_path).requests == {"http://images.invalid/a.png"}


def test_figures_without_any_pose_are_dashes():
    table = figures_table([_row(_outcomes()[2:], {})], BOUNDS)

    shown = dict(zip(table.columns, table.rows[0], strict=True))
    assert (shown["localized"], shown["wrong"]) == ("0.0 %", "0")
    assert shown["median"] == shown["NEES median"] == shown["in 95 %"] == "-"


def test_a_row_with_wrong_poses_stands_out():
    table = figures_table([_row(_outcomes()[:1], {}), _row(_outcomes(), {})], BOUNDS)

    assert table.bad == {1}


def test_nothing_localized_is_drawn_all_the_same(tmp_path):
    _write(tmp_path / "report.html", _outcomes()[2:], {})

    assert "refused" in (tmp_path / "report.html").read_text()


def _texts(svg):
    return re.findall(rb"<text[^>]*>([^<]+)</text>", svg)


def test_the_map_is_seen_from_above():
    far = transforms.perturb(TRUTH, [3.0, 0, 0, 0, 0, 0])
    estimates = np.array([TRUTH, far, np.full((4, 4), np.nan)])
    wrong = np.array([False, True, False])

    svg = top_view(np.array([TRUTH] * 3), estimates, wrong, TRUTH[None], ["hall"])

    texts = _texts(svg)
    assert {b"x of the map [m]", b"y of the map [m]", b"hall"} <= set(texts)
    assert {b"estimates", b"wrong estimates", b"refused", b"true positions"} <= set(texts)


def _heights(svg):
    """Where the labels of the vertical axis stand, by their value."""
    labels = re.findall(r'text-anchor: end[^>]* y="([\d.]+)"[^>]*>([^<]+)<', svg.decode())
    return {float(text.replace("\N{MINUS SIGN}", "-")): float(height) for height, text in labels}


@pytest.mark.parametrize(
    ("rotation", "axes", "upward"),
    [
        (LOOK, (b"x", b"y"), True),  # z up: x to the right, y away
        (np.eye(3), (b"x", b"z"), True),  # the first camera's own frame, y down
        (np.diag([1.0, -1.0, -1.0]), (b"x", b"z"), False),  # y up: z comes nearer
    ],
)
def test_above_is_where_the_images_have_their_top(rotation, axes, upward):
    poses = [transforms.make(rotation, np.full(3, float(i))) for i in range(3)]
    truths = np.array(poses)

    svg = top_view(truths, truths, np.zeros(3, bool), truths[:1], ["a"])

    assert [t[:1] for t in _texts(svg) if b"of the map" in t] == list(axes)
    heights = _heights(svg)
    # In SVG, what is higher has the smaller coordinate.
    assert (heights[max(heights)] < heights[min(heights)]) == upward


def test_errors_are_counted_with_their_limits():
    svg = histograms(
        [
            Histogram("position error [cm]", [1.0, 300.0], [5, 10, 25]),
            Histogram("orientation error [degrees]", [], [1, 2, 5]),
        ]
    )

    assert {b"position error [cm]", b"orientation error [degrees]", b"poses"} <= set(_texts(svg))


def test_matches_are_drawn_where_they_are():
    black = np.zeros((100, 200, 3), np.uint8)
    pixels = np.array([[50.0, 20.0], [150.0, 80.0]], np.float32)

    drawn = draw_matches(black, black[:50, :100], pixels, pixels / 2, np.array([True, False]), 100)

    assert drawn.shape == (100, 200 + 6 + 200, 3)
    assert (drawn[:, 200:206].min(axis=(1, 2)) > 0).all()
    green, red = drawn[20, 50].astype(int), drawn[80, 150].astype(int)
    assert green[1] > 2 * green[0]
    assert red[0] > 2 * red[1]
    # The line ends in the other image, at twice its size.
    np.testing.assert_array_equal(drawn[21, 256], green)
