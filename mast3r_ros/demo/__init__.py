# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The demo: real photographs with metric truth, localized by the node over ROS."""
