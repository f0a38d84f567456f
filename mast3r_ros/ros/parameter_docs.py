# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Writes config/relocalizer.yaml and the table in docs/parameters.md from the options."""

from __future__ import annotations

from dataclasses import Field
from itertools import groupby
from pathlib import Path
from typing import Any

from mast3r_ros.ros.parameters import SECTIONS

_BEGIN, _END = "<!-- parameters: begin -->\n", "<!-- parameters: end -->\n"
_HEADER = """\
# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
#
# Every parameter of the node `relocalizer` with its default. Written by
# `python3 -m mast3r_ros.ros.parameter_docs`: copy this file and change the copy.
/**:
  ros__parameters:
"""


def as_yaml() -> str:
    """The text of config/relocalizer.yaml."""
    lines = []
    for namespace, sections in groupby(SECTIONS, key=lambda section: section.namespace):
        indent = "    "
        if namespace:
            lines.append(f"{indent}{namespace.rstrip('.')}:")
            indent += "  "
        for section in sections:
            for _, entry in section.entries():
                limits = _limits(entry)
                lines.append(
                    f"{indent}# {entry.metadata['text']}{f' ({limits})' if limits else ''}"
                )
                lines.append(f"{indent}{entry.name}: {_literal(entry.default)}")
    return _HEADER + "\n".join(lines) + "\n"


def as_table() -> str:
    """The table in docs/parameters.md."""
    lines = ["| parameter | default | limits | set | meaning |", "|---|---|---|---|---|"]
    for section in SECTIONS:
        for name, entry in section.entries():
            about = entry.metadata
            when = (
                "at start"
                if about["read_only"]
                else "unconfigured"
                if section.fixed(entry)
                else "any"
            )
            lines.append(
                f"| `{name}` | `{_literal(entry.default)}` | {_limits(entry)} "
                f"| {when} | {about['text']}. |"
            )
    return "\n".join(lines) + "\n"


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _limits(entry: Field) -> str:
    about = entry.metadata
    if about["choices"]:
        return ", ".join(about["choices"])
    return "" if about["minimum"] is None else f"{about['minimum']:g} to {about['maximum']:g}"


def documents(root: Path) -> dict[Path, str]:
    """What the files that list the parameters should contain."""
    page = root / "docs" / "parameters.md"
    before, rest = page.read_text().split(_BEGIN)
    after = rest.split(_END)[1]
    return {
        root / "config" / "relocalizer.yaml": as_yaml(),
        page: f"{before}{_BEGIN}{as_table()}{_END}{after}",
    }


def write(root: Path) -> None:
    """Write those files."""
    for path, text in documents(root).items():
        path.write_text(text)


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[2])
