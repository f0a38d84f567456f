# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Builds the C++ kernels of mast3r_ros.matching; everything else is said in pyproject.toml.

They are optional: where no compiler is, pip goes on without them and numpy does their work.
"""

from glob import glob

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

kernels = "mast3r_ros/matching/kernels"

setup(
    ext_modules=[
        Pybind11Extension(
            "mast3r_ros.matching._nearest",
            sorted(glob(f"{kernels}/*.cpp")),
            depends=glob(f"{kernels}/*.hpp"),
            cxx_std=17,
            # As in CMakeLists.txt.
            extra_compile_args=["-O3", "-fno-math-errno", "-pthread"],
            extra_link_args=["-pthread"],
            optional=True,
        )
    ]
)
