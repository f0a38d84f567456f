# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A report page: one HTML file that needs nothing else, not even the network."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_STYLE = """
:root { color-scheme: light }
body { font: 15px/1.5 system-ui, sans-serif; color: #24292f; background: #fff;
       max-width: 1120px; margin: 2.5rem auto; padding: 0 1.5rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.4rem }
p.lead { color: #57606a; margin-top: 0 }
div.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 600; color: #57606a; border-bottom: 2px solid #d0d7de }
th, td { padding: .3rem .5rem .3rem 0; vertical-align: top } td { border-bottom: 1px solid #eaeef2 }
td.n, th.n { text-align: right } td.n { white-space: nowrap } tr.bad td { color: #b3261e }
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
class Table:
    """A table for the page and for the terminal.

    Attributes:
        columns: the headings.
        rows: the cells, as text.
        names: how many columns at the left are names; the others are numbers.
        bad: numbers of the rows that stand out.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1
    bad: Collection[int] = ()


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


def heading(text: str) -> str:
    """A heading, as HTML."""
    return f"<h2>{escape(text)}</h2>"


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


def table(content: Table) -> str:
    """A table, as HTML."""

    def row(cells: Sequence[str], tag: str, marked: bool = False) -> str:
        return (
            f"<tr{' class=bad' if marked else ''}>"
            + "".join(
                f"<{tag}{' class=n' * (i >= content.names)}>{escape(cell)}</{tag}>"
                for i, cell in enumerate(cells)
            )
            + "</tr>"
        )

    body = "".join(row(cells, "td", i in content.bad) for i, cells in enumerate(content.rows))
    return (
        f"<div class=wide><table><thead>{row(content.columns, 'th')}</thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def plots(figures: Mapping[str, bytes]) -> str:
    """SVG plots by what they show, as HTML."""
    images = "".join(_image("image/svg+xml", svg, name) for name, svg in figures.items())
    return f"<div class=plots>{images}</div>"


def gallery(title: str, pictures: Iterable[Picture]) -> str:
    """Pictures under a heading, as HTML; nothing where there are none."""
    figures = "".join(map(picture_html, pictures))
    return f"{heading(title)}<div class=pictures>{figures}</div>" if figures else ""


def picture_html(picture: Picture) -> str:
    """One picture with its caption, as HTML."""
    return (
        f"<figure>{_image('image/jpeg', _jpeg(picture.image), picture.title)}<figcaption>"
        f"<b>{escape(picture.title)}</b> {escape(picture.caption)}</figcaption></figure>"
    )


def of_height(image: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """An image in another size, so that it fits beside others of that height [pixels]."""
    width = max(round(image.shape[1] * height / image.shape[0]), 1)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _image(kind: str, data: bytes, alternative: str) -> str:
    encoded = base64.b64encode(data).decode()
    return f'<img alt="{escape(alternative)}" src="data:{kind};base64,{encoded}">'


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85]
    )
    assert done, "JPEG encoding of a uint8 image does not fail"
    return bytes(data)
