# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Runs every check of `make lint`, whatever the first ones say, and fails if one of them did."""

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_CPP = (".cpp", ".hpp", ".cu", ".cuh")
_PYTHON_FOLDERS = ("mast3r_ros", "tools", "test", "bench", "launch", "setup.py")
# The schemas are in the wheel: nothing is downloaded.
_SCHEMA = ("check-jsonschema", "--no-cache", "--builtin-schema")


def _commands() -> list[list[str]]:
    python = [sys.executable, "-m"]
    commands = [
        [*python, "ruff", "check", "."],
        [*python, "ruff", "format", "--check", "."],
        [*python, "mypy"],
        [sys.executable, str(_ROOT / "tools/check_manifest.py")],
        [sys.executable, str(_ROOT / "tools/check_imports.py")],
        # Syntax and library alike: ruff and mypy know little of what Python 3.10 has not.
        ["vermin", "--target=3.10-", "--no-tips", "--violations", *_PYTHON_FOLDERS],
        ["hadolint", *map(str, sorted(_ROOT.glob("docker/*.Dockerfile")))],
        [*_SCHEMA, "vendor.github-workflows", *map(str, sorted(_ROOT.glob(".github/workflows/*")))],
        [*_SCHEMA, "vendor.compose-spec", str(_ROOT / "docker/compose.yaml")],
        ["lint-imports", "--no-cache"],
        [sys.executable, str(_ROOT / "tools/check_cycles.py")],
    ]
    cpp = sorted(str(path) for path in _ROOT.glob("mast3r_ros/**/*") if path.suffix in _CPP)
    if cpp:
        commands.append(["clang-format", "--dry-run", "--Werror", *cpp])
    return commands


def main() -> int:
    """Returns the exit status."""
    failed = []
    for command in _commands():
        name = " ".join(Path(word).name for word in command if word not in (sys.executable, "-m"))
        print(f"== {name[:100]}", flush=True)
        if subprocess.run(command, cwd=_ROOT, check=False).returncode != 0:
            failed.append(name[:100])
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
