# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`make gpu-check` runs, on a CPU with a tiny network; it resumes, and its limits end a part."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import cv2
import pytest
import torch
from untraced import untraced_environment

ROOT = Path(__file__).resolve().parents[1]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.gpu_check", *map(str, words)],
        cwd=ROOT,
        env=untraced_environment(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=False,
    )


class Forked:
    """A part in a copy of this process: loading PyTorch anew takes longer than most parts do."""

    def __init__(
        self, command: Sequence[str], *, stdout: IO[str], stderr: int, start_new_session: bool
    ) -> None:
        assert command[:3] == [sys.executable, "-m", "bench.gpu_parts"]
        assert (stderr, start_new_session) == (subprocess.STDOUT, True)
        fork = multiprocessing.get_context("fork")
        self._process = fork.Process(target=self._run, args=(command[2:], stdout.fileno()))
        self._process.start()
        self.pid = self._process.pid
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> None:
        self._process.join(timeout)
        self.returncode = self._process.exitcode
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a part", timeout or 0.0)

    @staticmethod
    def _run(words: list[str], output: int) -> None:
        from bench import gpu_parts

        sys.settrace(None)
        cv2.setNumThreads(0)  # its threads are not copied
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = sys.stderr = open(1, "w", closefd=False)  # noqa: SIM115
        sys.argv = words
        sys.exit(gpu_parts.main())


@pytest.mark.slow
def test_every_part_runs_once_and_the_page_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first time in copies of this process, the second in processes of their own."""
    monkeypatch.syspath_prepend(str(ROOT))
    from bench import gpu_check, gpu_parts  # noqa: F401  (loaded here, once for all parts)

    page, state = tmp_path / "page.md", tmp_path / "state"
    page.write_text("# Before\n<!-- gpu-check: begin -->\n<!-- gpu-check: end -->\nafter\n")
    words = ("--device", "cpu", "--tiny", "--runs", 1, "--page", page, "--state", state)
    with monkeypatch.context() as patch:
        patch.setattr(gpu_check.subprocess, "Popen", Forked)
        assert gpu_check.main([str(word) for word in words]) == 0
    text = page.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("after\n")
    assert text.count("### CPU, PyTorch") == 1
    for part in ("torch", "matching", "parity", "profile", "query"):
        assert f"| {part} | passed |" in text
    for part in ("kernels", "build", "tensorrt"):
        assert f"| {part} | left out |" in text
    assert "mean cosine" in text
    assert "K = 8" in text
    # A part that has passed does not run again.
    kept = json.loads((state / "profile.json").read_text())
    (state / "profile.json").write_text(json.dumps(kept | {"lines": ["of the first run"]}))
    (state / "query.json").write_text(json.dumps(kept | {"name": "query", "status": "failed"}))
    assert run(*words).returncode == 0
    text = page.read_text()
    assert "of the first run" in text
    assert text.count("### CPU, PyTorch") == 1
    assert json.loads((state / "query.json").read_text())["status"] == "passed"


def test_a_part_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(ROOT)
    from bench.gpu_check import Check, Part, section

    check = Check(tmp_path, ["--device", "cpu", "--tiny"])
    finding = check.finish(Part("versions", 0.2))
    assert finding.status == "timed out"
    assert json.loads((tmp_path / "versions.json").read_text())["status"] == "timed out"
    assert "| versions | timed out | 0 |" in section([finding])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    done = run("--page", tmp_path / "page.md", "--state", tmp_path / "state")
    assert done.returncode == 3
    assert "no CUDA GPU here" in done.stderr
    assert not (tmp_path / "page.md").exists()


def test_what_a_part_has_started_ends_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build's own processes would keep the GPU; their output is more than a pipe holds."""
    monkeypatch.syspath_prepend(str(ROOT))
    from bench import gpu_check

    program = tmp_path / "part.py"
    program.write_text(
        "import subprocess, sys, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n"
        "print('x' * 200_000, flush=True)\nchild.wait()\n"
    )
    start = subprocess.Popen
    monkeypatch.setattr(
        gpu_check.subprocess,
        "Popen",
        lambda command, **others: start([sys.executable, str(program)], **others),
    )
    check, part = gpu_check.Check(tmp_path, []), gpu_check.Part("build", 0.0)
    check.start(part)
    log = tmp_path / "build.log"
    assert waits_for(lambda: log.stat().st_size > 200_000)  # so it has started its child, too
    finding = check.finish(part)
    assert finding.status == "timed out"
    assert finding.lines == ["x" * 200_000]
    child = int((tmp_path / "child").read_text())
    assert waits_for(lambda: has_ended(child))


def has_ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def waits_for(state: Callable[[], bool]) -> bool:
    """Whether something becomes true within half a minute."""
    end = time.monotonic() + 30
    while not state() and time.monotonic() < end:
        time.sleep(0.02)
    return state()
