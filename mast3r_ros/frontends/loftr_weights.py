# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The weights of LoFTR: where they are, and getting them once their terms are accepted."""

from __future__ import annotations

from pathlib import Path

from mast3r_ros.common.cache import cache_folder
from mast3r_ros.frontends.base import FrontEndError

NAMES = ("outdoor", "indoor_new")
TERMS = """\
The weights of LoFTR are those that kornia offers (Apache-2.0, as LoFTR itself). They were trained
on MegaDepth (outdoor) or on ScanNet (indoor_new), whose own terms allow non-commercial research;
whether a use of yours is allowed is for you to decide. The file has 46 MB.
"""


def weights_file(name: str) -> Path:
    """Where weights are: a file, or those of a name in the cache."""
    if name in NAMES:
        return cache_folder() / "loftr" / f"{name}.ckpt"
    return Path(name).expanduser()


def fetch_weights(name: str, accept_license: bool) -> Path:
    """Download kornia's weights into the cache; once is enough.

    Raises:
        FrontEndError: the terms are not accepted, no such weights, or the download failed.
    """
    if not accept_license:
        raise FrontEndError(TERMS + "\nIf you accept this, run again with --accept-license.")
    try:
        import torch
        from kornia.feature.loftr.loftr import urls
    except ImportError as error:
        raise FrontEndError("fetch-loftr needs torch and kornia: pip install kornia") from error
    if name not in NAMES:
        raise FrontEndError(f"no weights '{name}' of LoFTR: choose {' or '.join(NAMES)}")
    target = weights_file(name)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    known = urls[name]  # with mirrors, in newer releases
    first = known if isinstance(known, str) else known[0]
    try:
        torch.hub.download_url_to_file(first, str(target))
    except OSError as error:
        raise FrontEndError(f"cannot download {first}: {error}") from error
    return target
