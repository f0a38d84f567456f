# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The C++ kernels under sanitizers, and bit by bit against the arithmetic shared with CUDA."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent
_KERNELS = _ROOT / "mast3r_ros/matching/kernels"


@pytest.mark.slow
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_the_kernels_are_clean(tmp_path: Path, sanitizers: str) -> None:
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("no C++ compiler")
    sources = [path for path in _KERNELS.glob("*.cpp") if path.name != "module.cpp"]
    program = tmp_path / "sanitize"
    subprocess.run(
        [
            *(compiler, "-std=c++17", "-O1", "-g", "-pthread", "-fno-math-errno"),
            *(f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"),
            *(f"-I{_KERNELS}", *map(str, sources), str(_ROOT / "test/matching/sanitize.cpp")),
            *("-o", str(program)),
        ],
        check=True,
    )
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "clean\n"
