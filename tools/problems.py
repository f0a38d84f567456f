# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How the checks of `make lint` end."""

import sys
from collections.abc import Sequence


def report(found: Sequence[str]) -> int:
    """Prints what a check found wrong, a line each; returns its exit status."""
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0
