# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A page about an evaluation: one HTML file that needs nothing else, not even the network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.drawing import plots
from mast3r_ros.evaluation.metrics import Outcome
from mast3r_ros.geometry.transforms import Pose

_STYLE = """
:root { color-scheme: light }
body { font: 15px/1.5 system-ui, sans-serif; color: #24292f; background: #fff;
       max-width: 1060px; margin: 2.5rem auto; padding: 0 1.5rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.4rem }
p.lead { color: #57606a; margin-top: 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 600; color: #57606a; border-bottom: 2px solid #d0d7de }
th, td { padding: .3rem .7rem .3rem 0; vertical-align: top } td { border-bottom: 1px solid #eaeef2 }
td.n, th.n { text-align: right } tr.bad td { color: #b3261e }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); gap: .7rem }
dl div { border: 1px solid #d0d7de; border-radius: 6px; padding: .5rem .8rem }
dt { color: #57606a; font-size: .82rem } dd { margin: 0; font-size: 1.15rem; font-weight: 600 }
img { max-width: 100%; display: block } figure { margin: 0 }
.plots { display: grid; gap: 1rem; justify-items: center } .plots img { width: 760px }
.pictures { display: grid; gap: 1.4rem;
            grid-template-columns: repeat(auto-fill, minmax(480px, 1fr)) }
.pictures img { border-radius: 4px; width: 100% }
figcaption { font-size: .88rem; color: #57606a } figcaption b { color: #24292f }
"""


@dataclass(frozen=True)
class Picture:
    """An image with a caption: its first words stand out."""

    title: str
    caption: str
    image: NDArray[np.uint8]  # RGB


@dataclass(frozen=True)
class Report:
    """What the page says.

    Attributes:
        facts: the figures at the top, by name.
        outcomes: one row of the table each.
        keyframes: their poses by id.
        keyframe_names: how the table calls them.
        limits: distances [m] and angles [degrees]; beyond the last, a pose is wrong.
        pictures: by the heading that they stand under.
    """

    title: str
    lead: str
    facts: Mapping[str, str]
    outcomes: Sequence[Outcome]
    keyframes: Mapping[int, Pose]
    keyframe_names: Mapping[int, str]
    limits: Sequence[tuple[float, float]]
    pictures: Mapping[str, Sequence[Picture]]


def write_report(path: Path, report: Report) -> None:
    """Write the page.

    Raises:
        OSError: the file cannot be written.
    """
    sections = [
        tiles(report.facts),
        "<h2>Map and poses</h2><div class=plots>"
        + _image("image/svg+xml", _top_view(report), "keyframes and poses from above")
        + _image(
            "image/svg+xml",
            plots.error_histograms(report.outcomes, report.limits),
            "histograms of the errors",
        )
        + "</div>",
        f"<h2>Queries</h2>{_table(report)}",
        *(gallery(heading, pictures) for heading, pictures in report.pictures.items()),
    ]
    write_page(path, report.title, report.lead, sections)


def write_page(path: Path, title: str, lead: str, sections: Iterable[str]) -> None:
    """Write sections of HTML as a page that needs nothing else.

    Raises:
        OSError: the file cannot be written.
    """
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style><body><h1>{escape(title)}</h1>"
        f"<p class=lead>{escape(lead)}</p>{''.join(sections)}</body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)


def tiles(facts: Mapping[str, str]) -> str:
    """Figures, each with its name above it, as HTML."""
    return (
        "<dl>"
        + "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
            for name, value in facts.items()
        )
        + "</dl>"
    )


def table(heading: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table under a heading, as HTML; all but the first column are numbers."""
    header = "".join(f"<th{' class=n' * (i > 0)}>{escape(c)}" for i, c in enumerate(columns))
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=n' * (i > 0)}>{escape(c)}" for i, c in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return (
        f"<h2>{escape(heading)}</h2><table><thead><tr>{header}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _top_view(report: Report) -> bytes:
    names = {keyframe: report.keyframe_names[keyframe] for keyframe in report.keyframes}
    return plots.top_view(report.outcomes, report.keyframes, names, report.limits[-1])


def _table(report: Report) -> str:
    header = "<tr><th>query<th>keyframe<th class=n>position error [cm]"
    header += "<th class=n>orientation error [°]<th class=n>inliers<th class=n>time [ms]<th></tr>"
    rows = []
    for o in report.outcomes:
        errors = ["", ""]
        if o.pose is not None:
            errors = [f"{100 * o.translation_error:.2f}", f"{np.rad2deg(o.rotation_error):.2f}"]
        bad = not o.within(*report.limits[-1])
        name = "" if o.keyframe is None else report.keyframe_names[o.keyframe]
        seconds = sum(o.timings.values())
        rows.append(
            f"<tr{' class=bad' if bad else ''}><td>{escape(o.name)}<td>{escape(name)}"
            + "".join(f"<td class=n>{v}" for v in (*errors, o.inliers, f"{1e3 * seconds:.0f}"))
            + f"<td>{'' if o.pose is not None else 'refused: ' + escape(o.message)}</tr>"
        )
    return f"<table id=queries><thead>{header}</thead><tbody>{''.join(rows)}</tbody></table>"


def gallery(heading: str, pictures: Iterable[Picture]) -> str:
    """Pictures under a heading, as HTML; nothing where there are none."""
    figures = "".join(map(picture_html, pictures))
    return f"<h2>{escape(heading)}</h2><div class=pictures>{figures}</div>" if figures else ""


def picture_html(picture: Picture) -> str:
    """One picture with its caption, as HTML."""
    return (
        f"<figure>{_image('image/jpeg', _jpeg(picture.image), picture.title)}<figcaption>"
        f"<b>{escape(picture.title)}</b> {escape(picture.caption)}</figcaption></figure>"
    )


def _image(kind: str, data: bytes, alternative: str) -> str:
    encoded = base64.b64encode(data).decode()
    return f'<img alt="{escape(alternative)}" src="data:{kind};base64,{encoded}">'


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85]
    )
    assert done, "JPEG encoding of a uint8 image does not fail"
    return bytes(data)


def percent(share: float) -> str:
    """A fraction as people read it."""
    return f"{100 * share:.1f} %"


def figures(summary: Mapping[str, Any]) -> dict[str, str]:
    """The figures of `metrics.summarize`, as people read them."""
    unknown = "none localized"

    def number(key: str, factor: float, unit: str) -> str:
        value = summary[key]
        return unknown if value is None else f"{factor * value:.3g} {unit}"

    return {
        "queries": str(summary["queries"]),
        "localized": percent(summary["localized"]),
        "within 5 cm, 1°": percent(summary["within_5cm_1deg"]),
        "within 10 cm, 2°": percent(summary["within_10cm_2deg"]),
        "within 25 cm, 5°": percent(summary["within_25cm_5deg"]),
        "wrong, accepted": str(summary["wrong_accepted"]),
        "median position error": number("median_translation_m", 100.0, "cm"),
        "median orientation error": number("median_rotation_deg", 1.0, "°"),
        "median time": f"{summary['latency_ms']['total']:.0f} ms",
    }
