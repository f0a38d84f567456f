# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Making and keeping maps: import and export, structure from motion, refinement, merging."""
