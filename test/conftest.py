# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where the tests find real data, and their own corner of the ROS network."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

_ROOT = Path(__file__).resolve().parent.parent

# Before anything imports rclpy, and for every process that a test starts: no other run's nodes are
# seen, nothing leaves this machine, images fit the transport, and logs do not need a home folder.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("FASTDDS_BUILTIN_TRANSPORTS", "LARGE_DATA")
os.environ.setdefault("ROS_LOG_DIR", tempfile.mkdtemp(prefix="mast3r_ros_log_"))


def _folder(variable: str, beside: str) -> Path:
    path = Path(os.environ.get(variable) or _ROOT.parent / beside)
    if not path.is_dir():
        pytest.skip(f"no folder {path} (set {variable} to where it is)")
    return path


# No verdict hangs on how busy the machine is, or on chance.
settings.register_profile("mast3r_ros", deadline=None, derandomize=True)
settings.load_profile("mast3r_ros")


@pytest.fixture(scope="session")
def office() -> Path:
    """A real RGB-D walk in the TUM layout, with the truth."""
    return _folder("MAST3R_ROS_OFFICE_DATA", "shared/data/office")


@pytest.fixture(scope="session")
def reference() -> Path:
    """Outputs that other implementations of the network gave, to compare with."""
    return _folder("MAST3R_ROS_REFERENCE", "shared/reference")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what is marked `ros` where no ROS 2 is sourced, such as after `pip install`."""
    if "AMENT_PREFIX_PATH" not in os.environ:
        skip = pytest.mark.skip(reason="no ROS 2 in this shell (source install/setup.bash)")
        for item in items:
            if item.get_closest_marker("ros"):
                item.add_marker(skip)
