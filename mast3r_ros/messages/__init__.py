# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""ROS messages to and from the core: attribute access alone, no rclpy."""
