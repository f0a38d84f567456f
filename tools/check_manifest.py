# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Checks package.xml as bloom would, and that it, pyproject.toml and CMakeLists.txt agree."""

import re
import sys
from pathlib import Path

from catkin_pkg.package import InvalidPackage, parse_package
from problems import report

_ROOT = Path(__file__).resolve().parent.parent
# What comes with CMake is no package.
_OF_CMAKE = {"Threads"}


def problems(root: Path) -> list[str]:
    """Returns what is wrong with a checkout's package.xml, empty where nothing is."""
    found: list[str] = []
    try:
        package = parse_package(str(root), warnings=found)
        package.validate(warnings=found)
    except InvalidPackage as error:
        return [*found, str(error)]

    pyproject = (root / "pyproject.toml").read_text()
    for key, value in (("version", package.version), ("description", package.description)):
        if f'\n{key} = "{value}"\n' not in pyproject:
            found.append(f"pyproject.toml: {key} differs from package.xml's: {value}")

    cmake = (root / "CMakeLists.txt").read_text()
    listed = set(
        re.findall(r"^\s+((?:action|msg|srv)/\w+\.(?:action|msg|srv))$", cmake, re.MULTILINE)
    )
    present = {
        path.relative_to(root).as_posix()
        for kind in ("action", "msg", "srv")
        for path in (root / kind).iterdir()
    }
    found += [f"CMakeLists.txt: does not build {name}" for name in sorted(present - listed)]

    needed = set(re.findall(r"^ *find_package\((\w+) REQUIRED\)$", cmake, re.MULTILINE)) - _OF_CMAKE
    dependencies = package.build_depends + package.buildtool_depends + package.test_depends
    declared = {dependency.name for dependency in dependencies}
    found += [f"package.xml: no dependency on {name}" for name in sorted(needed - declared)]
    return found


if __name__ == "__main__":
    sys.exit(report(problems(_ROOT)))
