# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`make gpu-check`: the first ten minutes on a GPU. NOT RUN ON A GPU YET.

The parts of `bench.gpu_parts` run one after the other, the most telling first, each in a process
and under a time limit of its own. The result of each part is kept: a second run resumes with the
parts that are missing or failed. The findings become a section of docs/benchmarks.md.

    python -m bench.gpu_check [--checkpoint FILE] [--images A B ...] [--again] [--memcheck]
    python -m bench.gpu_check --device cpu --tiny --state /tmp/check --page /tmp/page.md
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

START, END = "<!-- gpu-check: begin -->", "<!-- gpu-check: end -->"
NO_GPU = 3
Status = Literal["passed", "failed", "timed out", "left out"]


@dataclass(frozen=True)
class Part:
    """One part of the check.

    Attributes:
        name: as in `bench.gpu_parts`.
        limit: most seconds on a GPU.
        needs_gpu: a CPU leaves it out.
    """

    name: str
    limit: float
    needs_gpu: bool = False


# The build for TensorRT takes minutes: it is started before the other parts.
PARTS = (
    Part("versions", 20),
    Part("kernels", 40, needs_gpu=True),
    Part("torch", 60),
    Part("matching", 30),
    Part("parity", 90),
    Part("profile", 60),
    Part("tensorrt", 180, needs_gpu=True),
    Part("query", 60),
)
MEMCHECK = Part("memcheck", 300, needs_gpu=True)
BEFORE = Part("reference", 600)  # the float32 network's outputs, on the CPU
BUILD = Part("build", 1200, needs_gpu=True)


@dataclass(frozen=True)
class Finding:
    """What a part found: its lines go into the page."""

    name: str
    status: Status
    seconds: float
    lines: list[str]


class Check:
    """Runs parts and keeps what they found.

    Args:
        state: folder of the findings; a finding there that passed is not looked for again.
        words: arguments for every part.
        on_gpu: whether to run what needs one; a CPU gets ten times the time for the rest.
    """

    def __init__(self, state: Path, words: Sequence[str], on_gpu: bool = True) -> None:
        self.state = state
        self.words = words
        self.on_gpu = on_gpu
        self._running: dict[str, tuple[subprocess.Popen[bytes], float]] = {}
        state.mkdir(parents=True, exist_ok=True)

    def start(self, part: Part) -> None:
        """Start a part, unless it has passed already or needs a GPU that is not there."""
        left_out = part.needs_gpu and not self.on_gpu
        if left_out or self._kept(part) is not None or part.name in self._running:
            return
        command = [sys.executable, "-m", "bench.gpu_parts", part.name, "--state", str(self.state)]
        # Into a file: nobody reads a pipe while a part runs in the background. And in a session of
        # its own, so that what it has started ends with it.
        with self._log(part).open("w") as log:
            process = subprocess.Popen(
                [*command, *self.words],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[part.name] = (process, time.monotonic())

    def finish(self, part: Part) -> Finding:
        """What a part found; it is started where it is not running."""
        if part.needs_gpu and not self.on_gpu:
            return Finding(part.name, "left out", 0.0, ["it needs a GPU"])
        kept = self._kept(part)
        if kept is not None:
            return kept
        self.start(part)
        process, started = self._running.pop(part.name)
        limit = part.limit * (1 if self.on_gpu else 10)
        left = limit - (time.monotonic() - started)
        try:
            process.wait(timeout=max(left, 0.1))
            codes: dict[int, Status] = {0: "passed", NO_GPU: "left out"}
            status = codes.get(process.returncode, "failed")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = "timed out"
        lines = self._log(part).read_text(errors="replace").splitlines()
        finding = Finding(part.name, status, time.monotonic() - started, lines)
        self._path(part).write_text(json.dumps(asdict(finding), indent=1) + "\n")
        return finding

    def forget(self) -> None:
        """Drop all findings."""
        for path in self.state.glob("*.json"):
            path.unlink()

    def _kept(self, part: Part) -> Finding | None:
        path = self._path(part)
        if not path.is_file():
            return None
        finding = Finding(**json.loads(path.read_text()))
        return finding if finding.status == "passed" else None

    def _log(self, part: Part) -> Path:
        return self.state / f"{part.name}.log"

    def _path(self, part: Part) -> Path:
        return self.state / f"{part.name}.json"


def section(findings: Sequence[Finding]) -> str:
    """The findings as a section of the page, titled by what the versions' part says first."""
    versions = next((f for f in findings if f.name == "versions" and f.lines), None)
    title = versions.lines[0] if versions else "no device"
    text = [f"### {title}", "", "| part | result | seconds |", "|---|---|---|"]
    text += [f"| {f.name} | {f.status} | {f.seconds:.0f} |" for f in findings]
    for finding in findings:
        text += ["", f"**{finding.name}**", "", "```", *finding.lines, "```"]
    return "\n".join(text)


def write_page(page: Path, text: str) -> None:
    """Put a section into the page, in place of an earlier one of the same title."""
    content = page.read_text() if page.is_file() else f"{START}\n{END}\n"
    before, _, rest = content.partition(START)
    held, _, after = rest.partition(END)
    title = text.splitlines()[0]
    others = [f"### {one.strip()}" for one in held.split("### ")[1:]]
    sections = [one for one in others if one.splitlines()[0] != title] + [text]
    page.write_text(f"{before}{START}\n\n" + "\n\n".join(sections) + f"\n\n{END}{after}")


def main(words: Sequence[str] | None = None) -> int:
    """Exit status 1 where a part failed or ran out of time, 3 where there is no GPU."""
    parser = argparse.ArgumentParser(description="What only a GPU can show.")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--state", type=Path, default=Path("build/gpu_check"))
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"))
    parser.add_argument("--again", action="store_true", help="run parts that have passed, too")
    parser.add_argument("--memcheck", action="store_true", help="run compute-sanitizer at the end")
    given, rest = parser.parse_known_args(words)
    on_gpu = given.device == "cuda"
    check = Check(given.state, ["--device", given.device, *rest], on_gpu)
    if given.again:
        check.forget()
    first = check.finish(PARTS[0])
    if first.status == "left out":
        print("\n".join(first.lines), file=sys.stderr)
        return NO_GPU
    check.start(BUILD)
    check.finish(BEFORE)
    findings = [first]
    for part in [*PARTS[1:], *[MEMCHECK] * given.memcheck]:
        if part.name == "tensorrt":
            findings.append(check.finish(BUILD))
        findings.append(check.finish(part))
        print(f"{part.name}: {findings[-1].status}, {findings[-1].seconds:.0f} s", flush=True)
        write_page(given.page, section(findings))
    bad = [f for f in findings if f.status in ("failed", "timed out")]
    for finding in bad:
        print(f"== {finding.name}: {finding.status}", *finding.lines[-20:], sep="\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
