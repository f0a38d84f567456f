# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the set-up needs from the operating system, and how to install what is missing."""

import ctypes
import importlib.util
import platform
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

# Program, and the Debian or Ubuntu package that has it.
_PROGRAMS = {"cmake": "cmake", "gcc": "gcc", "g++": "g++", "make": "make"}
# Library, and the package that has it: worlds for training are rendered with them.
_LIBRARIES = {"libEGL.so.1": "libegl1", "libGL.so.1": "libgl1"}
_ROS_PROGRAMS = {"colcon": "python3-colcon-common-extensions"}
# Python module, and the package that has it. With a ROS 2 installation, these are the system's: ROS
# was built against that numpy, and a newer one above it would break its cv_bridge.
_ROS_MODULES = {
    "cv2": "python3-opencv",
    "numpy": "python3-numpy",
    "scipy": "python3-scipy",
    "yaml": "python3-yaml",
}
# The wheels are built for these.
_WHEELS_PYTHONS = ((3, 10), (3, 13))
_WHEELS_MACHINE = "x86_64"


class SystemProblem(Exception):
    """The operating system lacks something. The message says what to do."""


def check(ros: bool, environ: Mapping[str, str]) -> None:
    """Looks for everything that the set-up cannot install itself.

    Args:
        ros: Whether a ROS 2 installation is used, else wheels.
        environ: The environment variables.

    Raises:
        SystemProblem: Something is missing. All of it is named at once.
    """
    if ros and not _has_module("rclpy"):
        raise SystemProblem(
            f"ROS_DISTRO is {environ['ROS_DISTRO']!r}, yet {sys.executable} cannot import rclpy.\n"
            "Source that distribution's setup.bash and use the Python it was built for "
            "(make PYTHON=/usr/bin/python3), or unset ROS_DISTRO to use ROS 2 wheels."
        )
    path = environ.get("PATH", "")
    programs = _PROGRAMS | (_ROS_PROGRAMS if ros else {})
    missing = {
        name: package for name, package in programs.items() if not shutil.which(name, path=path)
    }
    if not (_has_module("venv") and _has_module("ensurepip")):
        missing["the Python module ensurepip"] = "python3-venv"
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        missing["Python.h"] = "python3-dev"
    missing |= {name: package for name, package in _LIBRARIES.items() if not _has_library(name)}
    if ros:
        missing |= {
            f"the Python module {name}": package
            for name, package in _ROS_MODULES.items()
            if not _has_module(name)
        }
    if missing:
        raise SystemProblem(
            f"Missing on this machine: {', '.join(missing)}.\n"
            f"Install with:\n  sudo apt install {' '.join(dict.fromkeys(missing.values()))}"
        )
    if not ros:
        _check_wheels()


def _check_wheels() -> None:
    first, last = _WHEELS_PYTHONS
    machine = f"{platform.system()} {platform.machine()}"
    if machine != f"Linux {_WHEELS_MACHINE}" or not first <= sys.version_info[:2] <= last:
        raise SystemProblem(
            f"This is Python {platform.python_version()} on {machine}. ROS 2 wheels exist for "
            f"CPython {first[0]}.{first[1]} to {last[0]}.{last[1]} on Linux {_WHEELS_MACHINE}.\n"
            "Name such an interpreter (make PYTHON=python3.12), "
            "or install ROS 2 and source its setup.bash."
        )


def _has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
