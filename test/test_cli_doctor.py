# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the doctor finds, here and where things are missing."""

import importlib
import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from mast3r_ros.cli import doctor
from mast3r_ros.cli.app import app
from mast3r_ros.network import fetch


def _examine():
    text = io.StringIO()
    found = doctor.examine()
    doctor.show(found, Console(file=text, width=300))
    return doctor.core_runs(found), {
        line.split()[0]: line for line in text.getvalue().splitlines() if line.split()
    }


@pytest.fixture
def without(monkeypatch):
    """Takes modules away."""
    real = importlib.import_module

    def take(*names):
        def load(name, package=None):
            if name in names:
                raise ModuleNotFoundError(f"No module named '{name}'")
            return real(name, package)

        monkeypatch.setattr(importlib, "import_module", load)

    return take


def test_the_core_runs_here():
    result = CliRunner().invoke(app, ["doctor"])

    assert result.exit_code == 0, result.output
    for what in ("numpy", "sift", "onnxruntime", "rclpy", "The core can run."):
        assert what in result.stdout


def test_versions_and_front_ends_are_found():
    runs, lines = _examine()

    assert runs
    assert "ok" in lines["poselib"]
    assert "rootsift" in lines["sift"]


def test_a_core_package_that_is_missing(without, monkeypatch):
    without("poselib")

    runs, lines = _examine()

    assert not runs
    assert "missing" in lines["poselib"]
    assert "pip install poselib" in lines["poselib"]
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 1


def test_what_is_optional_does_not_stop_the_core(without):
    without("tensorrt", "rclpy", "mast3r_ros.matching._nearest", "tf2_ros", "matplotlib")

    runs, lines = _examine()

    assert runs
    assert "pip install 'mast3r_ros[tensorrt]'" in lines["tensorrt"]
    assert "source install/setup.bash" in lines["rclpy"]
    assert "not built" in lines["matching"]
    assert "the package's own is used" in lines["tf2_ros"]


def test_the_network_needs_weights_and_graphs(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    monkeypatch.setenv("MAST3R_ROS_CACHE", str(tmp_path))
    monkeypatch.setattr(fetch, "nano_checkpoint", lambda: tmp_path / "nano.safetensors")

    _, lines = _examine()

    assert "fetch-checkpoint" in lines["torch"]
    assert "no engine can run" in lines["mast3r"]
    assert "no network weights" in lines["weights"]

    fetch.nano_checkpoint().write_bytes(b"weights")
    _, lines = _examine()
    assert "by torch" in lines["mast3r"]
    assert "nano, a small network of our own" in lines["weights"]
    assert "mast3r_ros fetch-checkpoint" in lines["weights"]

    fetch.published_checkpoint().parent.mkdir(parents=True, exist_ok=True)
    fetch.published_checkpoint().write_bytes(b"weights")
    _, lines = _examine()
    assert "by torch" in lines["mast3r"]
    assert "published" in lines["weights"]
    assert "fetch-checkpoint" not in lines["weights"]


def test_the_transport_of_large_images(monkeypatch):
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "LARGE_DATA")
    assert " ok " in _examine()[1]["large"]
    monkeypatch.delenv("FASTDDS_BUILTIN_TRANSPORTS")
    assert "export FASTDDS" in _examine()[1]["large"]


def test_findings_for_programs():
    result = CliRunner().invoke(app, ["doctor", "--json", "-"])

    core = json.loads(result.stdout)["Core"]
    assert {"what": "python", "state": "ok"}.items() <= core[0].items()
