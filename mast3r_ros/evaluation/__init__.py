# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How well the package localizes: recordings with known poses, figures, and a page about them."""
