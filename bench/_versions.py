# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A benchmark in the working tree of another version, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def run_in(tree: Path, script: Path, arguments: Sequence[str]) -> Any:
    """What a script prints as JSON that imports the package of a working tree, on one thread.

    Args:
        tree: built, as by `git worktree add ../before COMMIT` and `make setup` there.
        script: of this version; it must import what both versions have.
        arguments: of the script.
    """
    built = [str(path) for path in tree.glob("install/*/lib/python3*/site-packages")]
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = os.environ | threads | {"PYTHONPATH": os.pathsep.join([*built, str(tree)])}
    command = [sys.executable, str(script.resolve()), *arguments]
    done = subprocess.run(command, check=True, env=environment, cwd=tree, stdout=subprocess.PIPE)
    return json.loads(done.stdout)
