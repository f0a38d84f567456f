# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The relocalizer: describe, retrieve, match, solve, verify."""
