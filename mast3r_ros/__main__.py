# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`python -m mast3r_ros`: the command line."""

from mast3r_ros.cli.app import main

main()
