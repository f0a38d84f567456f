# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What every floor may use: errors for users, options, sizes, the cache folder."""
