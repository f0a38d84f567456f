# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The script for GPUs runs, on a CPU with a tiny network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.gpu_network", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_runs_and_writes_its_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Before\n<!-- gpu-check: begin -->\nold\n<!-- gpu-check: end -->\nafter\n")
    words = ("--device", "cpu", "--tiny", "--runs", 1, "--page", page)
    for _ in range(2):
        result = run(*words)
        assert result.returncode == 0, result.stdout + result.stderr
    text = page.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("### CPU, PyTorch") == 1  # the second run takes the first one's place
    assert "| torch fp32 |" in text
    assert "| torch bf16 |" in text
    assert "tensorrt fp16: not run: TensorRT is not installed" in text
    assert "mean cosine" in text


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    result = run("--page", tmp_path / "page.md")
    assert result.returncode == 2
    assert "no CUDA GPU here" in result.stderr
    assert not (tmp_path / "page.md").exists()
