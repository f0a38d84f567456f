# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of the MASt3R paper and of robotics, one a module, behind one runner."""
