# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Weights: which there are, which are taken, and getting those whose license must be accepted."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mast3r_ros.common.cache import cache_folder
from mast3r_ros.common.errors import UserError
from mast3r_ros.network.config import PUBLISHED

REPOSITORY = f"naver/{PUBLISHED}"
FILE = "model.safetensors"

OWN_NOTE = (
    "runs the small network of our own (weights: nano); for the accuracy of the published one: "
    "mast3r_ros fetch-checkpoint"
)

TERMS = f"""\
The weights {PUBLISHED}
are published by NAVER under CC BY-NC-SA 4.0. They are not part of mast3r_ros, whose own code is
Apache-2.0. For you as a user this means:
  - no commercial use: not in a product, a paid service or a company's operations;
  - name the authors (Leroy, Cabon, Revaud: "Grounding Image Matching in 3D with MASt3R", 2024);
  - weights that you derive from them may only be shared under the same license.
They were trained on several data sets with terms of their own. Among them is Map-free
Relocalization (Niantic), whose terms allow non-commercial research alone and bind further uses.
Whether a use of yours is allowed is for you to decide with both texts at hand:
  https://creativecommons.org/licenses/by-nc-sa/4.0/
  https://research.nianticlabs.com/mapfree-reloc-benchmark
A network trained with this package's own training code is bound by neither.
"""


class LicenseNotAcceptedError(UserError, RuntimeError):
    """The terms of the published weights were not accepted."""


class FetchError(UserError, RuntimeError):
    """The weights could not be downloaded."""


class CheckpointMissingError(UserError, FileNotFoundError):
    """The weights are not on this machine; the message says how to get them."""


def published_checkpoint() -> Path:
    """Where `fetch_checkpoint` puts the published weights."""
    return cache_folder() / PUBLISHED / FILE


def nano_checkpoint() -> Path:
    """The small weights of our own, which come with the package."""
    return Path(__file__).resolve().parents[1] / "weights" / "nano.safetensors"


def find_checkpoint(wanted: str | Path | None = None) -> Path:
    """The weights that are wanted.

    Args:
        wanted: "published", "nano", or a file; the published ones where they are in the cache, else
            nano, if empty. `note_on` says what a user must be told of that choice.

    Raises:
        CheckpointMissingError: they are not there.
    """
    published, nano = published_checkpoint(), nano_checkpoint()
    if wanted:
        named = {"published": published, "nano": nano}.get(str(wanted))
        path = named or Path(wanted).expanduser()
    else:
        path = nano if nano.is_file() and not published.is_file() else published
    if path.is_file():
        return path
    raise CheckpointMissingError(
        f"no network weights at {path}. Get the published ones (non-commercial license, 2.75 GB) "
        f"with\n    mast3r_ros fetch-checkpoint --accept-license\n"
        f"or copy a .pth or .safetensors file there, or give the path of yours."
    )


def note_on(wanted: str | Path | None, found: Path) -> str:
    """What a user must know of the weights `found` where others may have been meant, or nothing."""
    return OWN_NOTE if not wanted and found == nano_checkpoint() else ""


def checkpoint_hash(path: str | Path) -> str:
    """SHA-256 of the file, hexadecimal: what engines are stamped with."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()


def fetch_checkpoint(accept_license: bool) -> Path:
    """Download the published weights into the cache, with a progress bar; once is enough.

    Raises:
        LicenseNotAcceptedError: `accept_license` is false; the message holds the terms.
        FetchError: huggingface_hub is not installed, or the download failed.
    """
    target = published_checkpoint()
    if not accept_license:
        raise LicenseNotAcceptedError(
            TERMS + "\nIf you accept this, run again with --accept-license."
        )
    if target.is_file():
        return target
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise FetchError(
            "huggingface_hub is not installed: pip install 'mast3r_ros[mast3r]'"
        ) from error
    try:
        return Path(hf_hub_download(REPOSITORY, FILE, local_dir=target.parent))
    except (OSError, ValueError) as error:  # its own errors and the HTTP client's derive from these
        raise FetchError(
            f"could not download {REPOSITORY}/{FILE}: {error}\n"
            f"On a machine without network, copy the file to {target}."
        ) from error
