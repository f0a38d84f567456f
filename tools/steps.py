# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Runs the steps of the set-up: each once for what it depends on, again after an interruption."""

import hashlib
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


class StepFailed(Exception):
    """A command of a step failed. The message says which, and where its output is."""


def digest(paths: Iterable[Path] = (), *words: str) -> str:
    """Returns a hash over the names and the contents of files, and over some words."""
    result = hashlib.sha256()
    for path in sorted(paths):
        result.update(f"{path}\0".encode() + path.read_bytes() + b"\0")
    for word in words:
        result.update(f"{word}\0".encode())
    return result.hexdigest()


class Stamps:
    """What has been done, for which state of the files it depends on, as small files in a folder.

    A step's stamp is taken away before it begins and written after it ends: one that was
    interrupted has begun and has no stamp.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def is_done(self, step: str, key: str) -> bool:
        """Returns whether a step has ended for this state of the files."""
        stamp = self.folder / f"{step}.done"
        return stamp.is_file() and stamp.read_text() == key

    def was_interrupted(self, step: str) -> bool:
        """Returns whether a step has begun and not ended."""
        return (self.folder / f"{step}.begun").exists()

    def begin(self, step: str) -> None:
        """Marks a step as begun."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{step}.begun").touch()
        (self.folder / f"{step}.done").unlink(missing_ok=True)

    def end(self, step: str, key: str) -> None:
        """Marks a step as ended."""
        partial = self.folder / f"{step}.partial"
        partial.write_text(key)
        partial.replace(self.folder / f"{step}.done")
        (self.folder / f"{step}.begun").unlink(missing_ok=True)


class Runner:
    """Runs commands with their output in a log, showing one line of progress for each step."""

    def __init__(self, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._log.write_bytes(b"")
        self._title = ""
        self._start = 0.0

    def begin(self, title: str) -> None:
        """Starts the line of a step."""
        self._title = title
        self._start = time.monotonic()
        if not sys.stdout.isatty():
            print(f"{title} ...", flush=True)

    def end(self) -> None:
        """Ends the line of a step."""
        self._show("done")
        if sys.stdout.isatty():
            print(flush=True)

    def run(self, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
        """Runs a command of the present step.

        Raises:
            StepFailed: It ended with an error.
        """
        line = shlex.join(map(str, command))
        with self._log.open("ab") as log:
            log.write(f"\n$ {line}\n".encode())
            log.flush()
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
            )
            try:
                while process.poll() is None:
                    self._wait(process)
            except KeyboardInterrupt:
                # The terminal has told the command too: let it finish its own cleaning up.
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                raise
        if process.returncode != 0:
            tail = self._log.read_text(errors="replace").splitlines()[-15:]
            raise StepFailed(
                "\n".join([*(f"  | {text}" for text in tail), f"{self._title}: failed: {line}"])
                + f"\nThe whole output is in {self._log}"
            )

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            if sys.stdout.isatty():
                self._show("...")

    def _show(self, state: str) -> None:
        line = f"{self._title} {state} ({time.monotonic() - self._start:.0f} s)"
        if sys.stdout.isatty():
            print(f"\r\033[K{line}", end="", flush=True)
        elif state == "done":
            print(line, flush=True)
