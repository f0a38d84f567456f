# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a command says: figures as JSON for programs, tables and progress for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table as RichTable

from mast3r_ros.cli.options import text

if TYPE_CHECKING:
    from mast3r_ros.drawing.page import Table

# Progress and words for people; standard output is for what was asked for.
console = Console(stderr=True)
_T = TypeVar("_T")
# Tables are as wide as their columns, not as a pipe.
_WIDTH = 400

JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", metavar="PATH", help=text("Write the result as JSON to this file; - prints it.")
    ),
]


def write_json(result: Any, path: Path | None) -> None:
    """Write a result as JSON to a file, or print it where the path is `-`; None does neither.

    Raises:
        OSError: the file cannot be written.
    """
    if path is None:
        return
    words = json.dumps(result, indent=2)
    if str(path) == "-":
        print(words)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(words + "\n")


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values on standard output; long values go on in the next line."""
    table = RichTable(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(f"[bold]{escape(name)}", escape(_readable(value)))
    Console().print(table)


def print_table(title: str, content: Table) -> None:
    """Print a table on standard error, as wide as its columns."""
    table = RichTable(title=title or None, title_justify="left", box=None, pad_edge=False)
    for i, column in enumerate(content.columns):
        table.add_column(column, justify="right" if i >= content.names else "left", no_wrap=True)
    for row in content.rows:
        table.add_row(*map(escape, row))
    Console(stderr=True, width=_WIDTH, soft_wrap=True).print(table)


def progress(steps: Iterable[_T], text: str, count: int | None = None) -> Iterable[_T]:
    """The steps, with a bar on standard error that goes when they are done."""
    return track(steps, text, total=count, console=console, transient=True)


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(part)}" for name, part in value.items())
    if isinstance(value, list):
        return " ".join(map(_readable, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
