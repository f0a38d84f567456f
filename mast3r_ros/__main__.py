# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`python -m mast3r_ros`: the command line."""

import sys

from mast3r_ros.common.missing import remedy

try:
    from mast3r_ros.cli.app import main
except ModuleNotFoundError as error:
    what = remedy(error)
    if what is None:
        raise
    sys.exit(f"error: {what}")

main()
