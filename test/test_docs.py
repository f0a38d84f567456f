# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the pages name is there: files, links, verbs with their options, targets of make."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from mast3r_ros.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
_NAMED = re.compile(
    r"(?<![\w./~{$-])([\w.-]+(?:/[\w.-]+)+\.(?:py|md|txt|yaml|xml|hpp|cpp|cu|safetensors))\b"
)
_BARE = re.compile(r"`(\w+\.(?:py|cu|hpp|cpp))`")
# In the reader's own folders, or in other packages.
_OUTSIDE = ("DIR/", "src/", "keyframes/0", "your_", "navigation_launch.py")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)")


def _anchor(headline: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", headline.strip().lower()).replace(" ", "-")


@_pages
def test_files_that_a_page_names_exist(page: Path) -> None:
    content = page.read_text()
    for name in set(_NAMED.findall(content)) | set(_BARE.findall(content)):
        if not name.startswith(_OUTSIDE) and "NAME" not in name:
            known = (ROOT / name).exists() or any(ROOT.glob(f"[a-z]*/{name}"))
            assert known or any(ROOT.glob(f"mast3r_ros/*/{name}")), name


@_pages
def test_links_lead_somewhere(page: Path) -> None:
    for name, anchor in set(_LINK.findall(page.read_text())):
        target = page.parent / name if name else page
        assert target.exists(), name
        if anchor:
            heads = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in map(_anchor, heads), f"{name}#{anchor}"


def _commands(content: str) -> list[list[str]]:
    """The words of each call of the command line, in blocks and in running text."""
    content = content.replace("\\\n", " ")
    blocks = re.findall(r"^```(?:bash)?\n(.*?)^```", content, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", content, flags=re.M | re.DOTALL))
    found = []
    for line in lines:
        match = re.search(
            r"(?:^|-m |\$ )mast3r_ros ([a-z].*)", " ".join(line.split("#")[0].split())
        )
        if match:
            found.append(shlex.split(match[1].replace("[", "").replace("]", "")))
    return found


@_pages
def test_verbs_and_options_of_a_page_exist(page: Path) -> None:
    program = typer.main.get_command(app)
    for words in _commands(page.read_text()):
        command, rest = program, words
        while rest and hasattr(command, "commands"):
            name = next(n for n in (" ".join(rest[:2]), rest[0]) if n in command.commands)
            command, rest = command.commands[name], rest[len(name.split()) :]
        known = {"--help"}.union(*((*p.opts, *p.secondary_opts) for p in command.params))
        assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known, words


@_pages
def test_targets_and_benches_of_a_page_exist(page: Path) -> None:
    content = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"[`\n]make ([a-z-]+)", content)) <= targets
    for name in set(re.findall(r"python3? -m bench[. ](\w+)", content)):
        main = (ROOT / "bench" / "__main__.py").read_text()
        assert (ROOT / "bench" / f"{name}.py").exists() or f'"{name}"' in main, name
