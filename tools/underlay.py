# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Makes a virtual environment usable as the underlay of a colcon build.

Some CMake files of the ROS 2 wheels name folders of the machine that built them, and nothing puts
the environment on the paths by which ament and colcon find packages.
"""

import re
import sys
import sysconfig
from pathlib import Path

# The build machine's interpreter, as in /opt/python/cp311-cp311/include/python3.11.
_PYTHON_INCLUDE = re.compile(r"/opt/python/cp\d+-cp\d+/include/python3\.\d+")
_NUMPY_INCLUDE = re.compile(
    r"/opt/python/cp\d+-cp\d+/lib/python3\.\d+/site-packages/numpy/_?core/include"
)

# {prefix} is absolute: a POSIX shell cannot tell which file it is sourcing.
_LOCAL_SETUP = """\
# Puts {prefix} on the paths. Written by the set-up, sourced by install/setup.*.
_mast3r_ros_prepend() {{
  eval "_mast3r_ros_value=\\"\\${{$1:-}}\\""
  case ":$_mast3r_ros_value:" in
    *":$2:"*) ;;
    *) export "$1=$2${{_mast3r_ros_value:+:$_mast3r_ros_value}}" ;;
  esac
  unset _mast3r_ros_value
}}
{exports}
unset -f _mast3r_ros_prepend
"""
# What the environment is prepended to, and where in it that is: with ROS 2 wheels, or beside a
# ROS 2 installation, which has its own setup.* for the rest.
PATHS = {
    "wheels": {
        "AMENT_PREFIX_PATH": "",
        "CMAKE_PREFIX_PATH": "",
        "LD_LIBRARY_PATH": "/lib",
        "PATH": "/bin",
    },
    "installation": {"PATH": "/bin"},
}


def patch_cmake_files(prefix: Path, python_include: str, numpy_include: str) -> list[Path]:
    """Rewrites the build machine's include folders in every CMake file of an environment.

    Args:
        prefix: The virtual environment.
        python_include: Folder that holds Python.h.
        numpy_include: Folder that holds numpy/arrayobject.h.

    Returns:
        The files that were changed: none when they were right already.
    """
    changed = []
    for path in sorted(prefix.rglob("*.cmake")):
        before = path.read_text(encoding="utf-8", errors="surrogateescape")
        after = _PYTHON_INCLUDE.sub(lambda _: python_include, before)
        after = _NUMPY_INCLUDE.sub(lambda _: numpy_include, after)
        if after != before:
            path.write_text(after, encoding="utf-8", errors="surrogateescape")
            changed.append(path)
    return changed


def write_local_setup(prefix: Path, paths: dict[str, str]) -> None:
    """Writes local_setup.sh, .bash and .zsh, which colcon chains from the workspace it builds.

    Args:
        prefix: The virtual environment, absolute.
        paths: Variable to prepend to, and what to prepend, as a suffix of the prefix.
    """
    exports = "\n".join(
        f'_mast3r_ros_prepend {name} "{prefix}{suffix}"' for name, suffix in paths.items()
    )
    text = _LOCAL_SETUP.format(prefix=prefix, exports=exports)
    for shell in ("sh", "bash", "zsh"):
        (prefix / f"local_setup.{shell}").write_text(text, encoding="utf-8")


def main() -> None:
    """Prepares the environment whose interpreter runs this; the argument is a key of PATHS."""
    import numpy as np

    prefix = Path(sys.prefix)
    changed = patch_cmake_files(prefix, sysconfig.get_paths()["include"], np.get_include())
    write_local_setup(prefix, PATHS[sys.argv[1]])
    print(f"{len(changed)} CMake files patched in {prefix}")


if __name__ == "__main__":
    main()
