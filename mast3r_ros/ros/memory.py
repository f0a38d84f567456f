# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Memory of a session that ended goes back to the system."""

from __future__ import annotations

import ctypes
import gc


def give_back() -> None:
    """Free what nothing refers to, and hand the allocator's free pages to the system.

    glibc keeps them for each thread: some 60 MiB, the buffers of one image with `sift`. C libraries
    without `malloc_trim` decide by themselves.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
