# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Checks that whatever mast3r_ros imports is declared, in requirements/ or in package.xml."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from catkin_pkg.package import parse_package
from problems import report

_ROOT = Path(__file__).resolve().parent.parent
# Imports whose distribution has another name and is not installed where the checks run.
_PROVIDERS = {"cuda": "cuda-bindings"}


def _imported(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared(root: Path) -> set[str]:
    lines = [
        line
        for path in (root / "requirements").glob("*.txt")
        if path.name != "constraints.txt"
        for line in path.read_text().splitlines()
    ]
    names = {match[0] for line in lines if (match := re.match(r"[\w.-]+", line))}
    names |= {dependency.name for dependency in parse_package(str(root)).exec_depends}
    return {_normal(name) for name in names}


def problems(root: Path) -> list[str]:
    """Returns the imports that a checkout does not declare, empty where it declares all."""
    declared = _declared(root)
    distributions = packages_distributions()
    known = sys.stdlib_module_names | {"mast3r_ros"}
    return [
        f"{path.relative_to(root)}: imports {name}, which no requirements file or package.xml names"
        for path in sorted((root / "mast3r_ros").rglob("*.py"))
        for name in sorted(set(_imported(path)) - known)
        if declared.isdisjoint(
            map(_normal, [name, _PROVIDERS.get(name, name), *distributions.get(name, [])])
        )
    ]


if __name__ == "__main__":
    sys.exit(report(problems(_ROOT)))
