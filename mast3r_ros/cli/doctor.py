# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What is installed, what can run with it, and what to do about the rest."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines.memory_plan import plan_table
from mast3r_ros.network.config import MAST3RConfig

State = Literal["ok", "missing", "optional"]
_COLORS: dict[State, str] = {"ok": "green", "missing": "red", "optional": "yellow"}

_CORE = {
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "numpy": "numpy",
    "poselib": "poselib",
    "rosbags": "rosbags",
    "scipy": "scipy",
    "transforms3d": "transforms3d",
    "yaml": "PyYAML",
}
# What does the work of a ROS package that is not there.
_STAND_INS = {
    "cv_bridge": "rarer image encodings are refused",
    "diagnostic_updater": "the package's own is used",
    "tf2_ros": "the package's own is used",
}
_FETCH = "mast3r_ros fetch-checkpoint"


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        what: its name.
        state: ok, missing, or optional: missing, and nothing that runs now needs it.
        found: a version, or what is wrong.
        remedy: what to do; empty if nothing.
    """

    what: str
    state: State
    found: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """For programs."""
        return {**asdict(self)}


_CORE_TITLE = "Core"


def examine() -> dict[str, list[Finding]]:
    """All findings, by heading."""
    return {
        _CORE_TITLE: list(_core()),
        "Front ends": list(_front_ends()),
        "Engines of the front end mast3r": [_weights(), *_engines()],
        "ROS 2": list(_ros()),
    }


def core_runs(found: Mapping[str, Sequence[Finding]]) -> bool:
    """Whether nothing is missing that the core needs."""
    return all(finding.state != "missing" for finding in found[_CORE_TITLE])


def show(found: Mapping[str, Sequence[Finding]], console: Console) -> None:
    """Print the findings."""
    for title, findings in found.items():
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, expand=False)
        for heading in ("", "state", "found", "what to do"):
            table.add_column(heading, overflow="fold")
        for finding in findings:
            color = _COLORS[finding.state]
            table.add_row(
                finding.what,
                f"[{color}]{finding.state}[/]",
                escape(finding.found),
                escape(finding.remedy),
            )
        console.print(table)
        console.print()
    console.print("[bold]GPU memory of the published network[/] (computed, not run on a GPU)")
    for line in plan_table(MAST3RConfig(), ImageSize(512, 384), "fp16"):
        console.print(f"  {escape(line)}")
    console.print()
    console.print(
        "[green]The core can run.[/]"
        if core_runs(found)
        else "[red]The core cannot run:[/] do what the first table says."
    )


def _import(what: str, package: str, remedy: str, lacking: State = "missing") -> Finding:
    """Whether a module can be imported, and its package's version."""
    try:
        module = importlib.import_module(what)
    except Exception as error:  # a broken library raises whatever it likes
        return Finding(what, lacking, f"{type(error).__name__}: {error}", remedy)
    try:
        found = version(package)
    except PackageNotFoundError:
        # Not from pip: from the system, or a ROS installation.
        found = str(getattr(module, "__version__", "installed"))
    return Finding(what, "ok", found)


def _core() -> Iterator[Finding]:
    yield Finding("python", "ok", platform.python_version())
    for module, package in _CORE.items():
        yield _import(module, package, f"pip install {package}")
    compiled = _import("mast3r_ros.matching._nearest", "mast3r_ros", "", "optional")
    if compiled.state == "ok":
        yield Finding("matching in C++", "ok", "built")
    else:
        yield Finding(
            "matching in C++", "optional", "not built: numpy matches, slowly",
            "install a C++ compiler, then `make setup` or pip install again",
        )  # fmt: skip
    yield _import(
        "matplotlib", "matplotlib", "for reports: pip install 'mast3r_ros[report]'", "optional"
    )


def _front_ends() -> Iterator[Finding]:
    yield _attempt("sift", lambda: _describe("sift"), "see Core")
    yield _attempt("xfeat", lambda: _describe("xfeat"), "pip install 'mast3r_ros[xfeat]'")
    engines = [finding.what for finding in _engines() if finding.state == "ok"]
    yield (
        Finding("mast3r", "ok", f"by {', '.join(engines)}")
        if engines
        else Finding("mast3r", "optional", "no engine can run", "see the engines")
    )


def _attempt(what: str, action: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(what, "ok", action())
    except Exception as error:  # whatever its libraries raise
        return Finding(what, "optional", str(error), remedy)


def _describe(name: str) -> str:
    """Let a front end describe an image."""
    import numpy as np

    from mast3r_ros.frame import Frame
    from mast3r_ros.frontends import create

    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    front_end = create(name)
    front_end.describe(Frame(noise))
    return front_end.fingerprint


def _weights() -> Finding:
    """The weights that run unless others are asked for."""
    from mast3r_ros.network import fetch

    try:
        path = fetch.find_checkpoint()
    except fetch.CheckpointMissingError as error:
        return Finding("weights", "optional", str(error).splitlines()[0], _FETCH)
    if fetch.note_on(None, path):
        return Finding(
            "weights", "ok", f"nano, a small network of our own: {path}",
            f"for the accuracy of the published one: {_FETCH}",
        )  # fmt: skip
    return Finding("weights", "ok", f"published: {path}")


def _engines() -> Iterator[Finding]:
    from mast3r_ros.engines.select import graphs_folder

    graphs = graphs_folder()
    exported = any(graphs.glob("*.onnx"))
    built = any(graphs.glob("*.engine"))
    weights = _weights().state == "ok"
    fetch = "" if weights else _FETCH
    for module, extra, ready, remedy in (
        ("torch", "mast3r", weights, fetch),
        ("onnxruntime", "onnx", exported, fetch or "mast3r_ros export"),
        ("tensorrt", "tensorrt", built, fetch or "mast3r_ros build-engine"),
    ):
        library = _import(module, module, f"pip install 'mast3r_ros[{extra}]'", "optional")
        if library.state == "ok":
            found = f"{library.found}, {_device(module)}"
            state: State = "ok" if ready else "optional"
            missing = "" if ready else "; " + ("no weights" if not weights else "no graphs")
            library = Finding(module, state, found + missing, "" if ready else remedy)
        yield library


def _device(module: str) -> str:
    """Where a library computes."""
    if module == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    if module == "onnxruntime":
        import onnxruntime

        names = (
            name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()
        )
        return ", ".join(names)
    return "GPU"


def _ros() -> Iterator[Finding]:
    source = "`make setup`, then `source install/setup.bash`"
    yield _import("rclpy", "ros-rclpy", source, "optional")
    yield _import("mast3r_ros.msg", "mast3r_ros", source, "optional")
    for module, instead in _STAND_INS.items():
        package = f"apt install ros-{os.environ.get('ROS_DISTRO', '<distro>')}-"
        finding = _import(module, module, package + module.replace("_", "-"), "optional")
        if finding.state != "ok":
            finding = Finding(module, "optional", f"not installed: {instead}", finding.remedy)
        yield finding
    transport = os.environ.get("FASTDDS_BUILTIN_TRANSPORTS", "")
    if transport == "LARGE_DATA":
        yield Finding("large images", "ok", f"FASTDDS_BUILTIN_TRANSPORTS={transport}")
    else:
        yield Finding(
            "large images", "optional", "Fast DDS may lose raw images of this machine's cameras",
            "export FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA, for camera and node",
        )  # fmt: skip
