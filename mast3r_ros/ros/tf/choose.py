# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which TF to use: tf2_ros where it is installed, the package's own otherwise."""

from __future__ import annotations

import importlib.util

from mast3r_ros.ros.host import Host
from mast3r_ros.ros.tf.source import Tf


def create(node: Host) -> Tf:
    """What is installed here, with the odometry that `odometry` names."""
    tf = _installed(node)
    if node.options.odometry == "tf":
        return tf
    from mast3r_ros.ros.tf.with_odometry import TfWithOdometry

    return TfWithOdometry(node, lambda: node.options, tf)


def _installed(node: Host) -> Tf:
    if importlib.util.find_spec("tf2_ros") is None:
        from mast3r_ros.ros.tf.own import OwnTf

        return OwnTf(node)
    from mast3r_ros.ros.tf.tf2 import Tf2

    return Tf2(node)
