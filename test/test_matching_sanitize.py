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
_SOURCES = [
    *(str(path) for path in sorted(_KERNELS.glob("*.cpp")) if path.name != "module.cpp"),
    str(_ROOT / "test/matching/sanitize.cpp"),
]


@pytest.mark.slow
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_the_kernels_are_clean(tmp_path: Path, sanitizers: str) -> None:
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        pytest.skip("no C++ compiler")
    program = tmp_path / "sanitize"
    subprocess.run(
        [
            # Optimized, the run takes a tenth of the time; by -O2, less than it costs to compile.
            *(compiler, "-std=c++17", "-O1", "-g1", "-pthread", "-fno-math-errno"),
            *(f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"),
            *(f"-I{_KERNELS}", *_SOURCES, "-o", str(program)),
        ],
        check=True,
    )
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "clean\n"


@pytest.fixture(scope="module")
def on_arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of the tests, for a 64-bit ARM processor."""
    compiler = shutil.which("aarch64-linux-gnu-g++")
    if compiler is None:
        pytest.skip("no g++-aarch64-linux-gnu with qemu-user")
    program = tmp_path_factory.mktemp("arm") / "kernels"
    subprocess.run(
        [
            *(compiler, "-std=c++17", "-O2", "-static", "-pthread", "-fno-math-errno"),
            *(f"-I{_KERNELS}", *_SOURCES, "-o", str(program)),
        ],
        check=True,
    )
    return program


@pytest.mark.slow
@pytest.mark.parametrize("processor", ["cortex-a57", "max"])  # without and with products of bytes
def test_the_kernels_are_right_on_arm(on_arm: Path, processor: str) -> None:
    emulator = shutil.which("qemu-aarch64")
    if emulator is None:
        pytest.skip("no g++-aarch64-linux-gnu with qemu-user")
    done = subprocess.run(
        [emulator, "-cpu", processor, on_arm], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "clean\n"
