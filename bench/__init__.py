# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks, each a module with a `main`: `python -m bench` runs all of them."""
