# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The checks of the architecture: they pass on the package and fail on what they are for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent


def _lint(root, *, cycles=False):
    program = (
        [sys.executable, str(_ROOT / "tools/check_cycles.py")]
        if cycles
        else [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    )
    options = [] if cycles else ["--no-cache"]
    return subprocess.run(
        [*program, *options],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path):
    """The package's sources, to plant imports in."""
    shutil.copytree(
        _ROOT / "mast3r_ros",
        tmp_path / "mast3r_ros",
        ignore=shutil.ignore_patterns("__pycache__", "*.jpg", "*.safetensors", "*.so"),
    )
    shutil.copy(_ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _plant(root, module, line):
    path = root / "mast3r_ros" / f"{module}.py"
    path.write_text(path.read_text() + line + "\n")


def test_the_package_keeps_its_floors(copy):
    for cycles in (False, True):
        done = _lint(copy, cycles=cycles)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "said"),
    [
        ("geometry/transforms", "from mast3r_ros.cli import app", "geometry.transforms"),
        ("messages/conversions", "import rclpy", "rclpy"),
        ("localization/relocalizer", "import torch", "torch"),
        (
            "keyframes/keyframe",
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from mast3r_ros.localization import relocalizer",
            "keyframes.keyframe",
        ),
    ],
)
def test_a_planted_import_breaks_a_contract(copy, module, line, said):
    _plant(copy, module, line)
    done = _lint(copy)
    assert done.returncode == 1
    assert "BROKEN" in done.stdout
    assert said in done.stdout


def test_a_planted_cycle_is_found(copy):
    _plant(copy, "geometry/transforms", "from mast3r_ros.geometry import uncertainty")
    done = _lint(copy, cycles=True)
    assert done.returncode == 1
    assert "geometry.transforms" in done.stderr
    assert "geometry.uncertainty" in done.stderr
