# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A package that is not installed is one line with the command that installs it."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from mast3r_ros.common.missing import remedy

_SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("poselib", "python3 -m pip install poselib"),
        ("faiss", "python3 -m pip install faiss-cpu"),
        ("PIL.Image", "python3 -m pip install pillow"),
        ("backports.zstd", "python3 -m pip install backports.zstd"),
        ("cv2.sub", "python3 -m pip install opencv-python-headless"),
        ("mast3r_ros.msg", "source install/setup.bash"),
        ("sensor_msgs.msg", "source ROS 2's setup.bash"),
    ],
)
def test_what_is_missing_and_its_remedy(name, command):
    assert command in remedy(ModuleNotFoundError(name=name))


def test_a_module_of_our_own_is_a_bug():
    assert remedy(ModuleNotFoundError(name="mast3r_ros.nowhere")) is None


@pytest.mark.parametrize(
    ("program", "package", "told"),
    [
        (["-m", "mast3r_ros.ros.node"], "poselib", "relocalizer: the Python package poselib"),
        (["-m", "mast3r_ros.ros.node"], "rclpy", "relocalizer: the ROS 2 package rclpy"),
        ([_SCRIPTS / "relocalizer"], "cv2", "relocalizer: the Python package cv2"),
        (["-m", "mast3r_ros", "--help"], "rich", "error: the Python package rich"),
        ([_SCRIPTS / "mast3r_ros", "--help"], "typer", "error: the Python package typer"),
        ([_SCRIPTS / "mast3r_ros", "map", "info", "."], "faiss", "the Python package faiss"),
    ],
)
def test_programs_say_it_in_one_line(tmp_path, program, package, told):
    """An import hook stands for the machine that lacks the package."""
    pytest.importorskip("rclpy", reason="no ROS 2 in this shell (source install/setup.bash)")
    hook = f"""
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
"""
    (tmp_path / "sitecustomize.py").write_text(hook)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run(
        [sys.executable, *map(str, program)],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )

    assert ended.returncode in (1, 2)
    assert told in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "Traceback" not in ended.stderr


def test_a_spawned_process_does_not_run_the_verb_again():
    """It imports the main file under this name: `train` and `export` work in such processes."""
    runpy.run_path(str(_SCRIPTS / "mast3r_ros"), run_name="__mp_main__")
