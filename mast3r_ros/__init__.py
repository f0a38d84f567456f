# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Relocalizes camera images in metres against a few keyframes, with an honest covariance."""

import pkgutil

# The generated messages (mast3r_ros.msg, mast3r_ros.srv) are installed apart from a source
# checkout: with this, both are one package.
__path__ = pkgutil.extend_path(__path__, __name__)
