# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Saves of maps that are killed, read meanwhile, or find a full or read-only disk."""

from __future__ import annotations

import gc
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from bench._made_up_map import MadeUp, build
from mast3r_ros.frontends.sift import SiftFrontEnd
from mast3r_ros.keyframes.database import FILE, MapError, journal_of
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.store import Store


def _load(path: Path) -> KeyframeMap:
    """Open a map and read all of it; MapError where it is not whole."""
    keyframes = KeyframeMap.load(path, SiftFrontEnd(), cache_mb=0)
    for error in keyframes.verify():
        raise error
    return keyframes


def _change(keyframes: KeyframeMap, made_up: MadeUp) -> None:
    """Two come, and two go beyond eight: their number is even in each commit."""
    for place in (0, 1):
        keyframes.add(made_up.frame, made_up.pose(place), made_up.described(place))
    for keyframe_id in keyframes.ids[:-8].tolist():
        keyframes.remove(keyframe_id)


def _save_for_ever(path: Path) -> None:
    keyframes, made_up = KeyframeMap.load(path, SiftFrontEnd(), cache_mb=0), MadeUp(40, 20)
    while True:
        _change(keyframes, made_up)
        keyframes.save(path)


def killed_saves(path: Path, kills: int) -> tuple[int, int]:
    """Kill saves to a map at any moment, and check each time that the map is whole.

    Returns:
        How many commits there were, and how many kills left a journal.
    """
    chance, hot = random.Random(0), 0
    list(build(path, 4, 20))
    gc.collect()
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            _save_for_ever(path)
        time.sleep(chance.uniform(0.05, 0.3))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        journal = journal_of(path / FILE)
        hot += journal.exists() and journal.stat().st_size > 0
        keyframes = _load(path)
        # The last commit, all of it: ids follow one another, in pairs.
        assert keyframes.ids.tolist() == list(range(keyframes.next_id))[-len(keyframes) :]
        assert (len(keyframes) % 2, keyframes.next_id % 2) == (0, 0)
        with closing(sqlite3.connect(path / FILE)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        # No connection goes into the next child.
        del keyframes
        gc.collect()
    with closing(Store(path)) as store:
        return store.header.revision, hot


def read_by_two(path: Path, commits: int) -> tuple[int, float]:
    """Let two programs search and read a map while another commits to it.

    Returns:
        How many keyframes both have read, and the slowest reading of three [ms].
    """
    list(build(path, 200, 200))
    script = (
        "import sys; from pathlib import Path; from bench._map_faults import _read_until_told\n"
        "_read_until_told(Path(sys.argv[1]))"
    )
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    keyframes, made_up = KeyframeMap.load(path, SiftFrontEnd()), MadeUp(200, 200)
    for _ in range(commits):
        keyframes.add(made_up.frame, made_up.pose(0), made_up.described(0))
        keyframes.save(path)
    ends = [reader.communicate("stop\n")[0].split() for reader in readers]
    assert all(reader.returncode == 0 for reader in readers)
    assert len(_load(path)) == 200 + commits
    return sum(int(read) for read, _ in ends), max(float(slowest) for _, slowest in ends)


def _read_until_told(path: Path) -> None:
    """One reader: until a line comes in, it looks for keyframes and reads the first three."""
    import select

    keyframes, made_up = KeyframeMap.load(path, SiftFrontEnd(), cache_mb=0), MadeUp(200, 200)
    print("ready", flush=True)
    read, slowest = 0, 0.0
    while not select.select([sys.stdin], [], [], 0)[0]:
        started = time.perf_counter()
        for keyframe in keyframes.nearest(made_up.described(read % made_up.places), 3):
            assert len(keyframe.description.global_descriptor) == 560
            read += 1
        slowest = max(slowest, time.perf_counter() - started)
    print(read, slowest * 1e3)


def on_a_small_disk(folder: Path) -> str:
    """Fill a disk of 8 MB by saves, then let it be read only; says what came of it.

    In a mount namespace of its own, which needs no rights: `unshare -rm`.
    """
    script = (
        "import sys; from pathlib import Path; from bench._map_faults import _fill_and_read\n"
        "_fill_and_read(Path(sys.argv[1]))"
    )
    folder.mkdir(parents=True)
    mounted = "mount -t tmpfs -o size=8m none $1 && shift && exec "
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f'{mounted}"$@"', "sh", folder, sys.executable, "-c",
         script, folder],
        capture_output=True,
        text=True,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        return f"not tried: {done.stderr.strip().splitlines()[-1]}"
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _fill_and_read(disk: Path) -> None:
    """Save until the disk is full, in place and as a copy; then read it read-only."""
    path = disk / "map"
    keyframes, made_up = KeyframeMap(SiftFrontEnd()), MadeUp(200)
    kept, said = 0, ""
    while not said:
        for _ in range(3):
            keyframes.add(made_up.frame, made_up.pose(0), made_up.described(0))
        try:
            keyframes.save(path)
            kept = len(keyframes)
        except MapError as error:
            said = str(error)
    assert "full" in said, said
    assert len(_load(path)) == kept
    try:
        keyframes.save(disk / "copy")
        raise AssertionError("a full disk took a copy")
    except MapError as error:
        said = str(error)
    assert sorted(p.name for p in disk.rglob("*")) == ["copy", "map", FILE]
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    read = _load(path)
    assert len(read) == kept
    assert read.nearest(made_up.described(0), 3)[0].description is not None
    try:
        read.remove(0)
        read.save(path)
        raise AssertionError("a read-only disk took a commit")
    except MapError as error:
        read_only = str(error)
    for text in (said, read_only):
        print(text.replace(str(disk), "DISK"))
    print(f"full: {kept} keyframes are whole; read-only: they are read and found")
