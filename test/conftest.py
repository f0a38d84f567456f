# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where the tests find real data, and a part of the ROS network that is theirs alone."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from untraced import leave_children_untraced, untraced

from mast3r_ros.demo.transport import stay_on_this_machine

if TYPE_CHECKING:
    from mast3r_ros.engines.graphs import Graphs

_ROOT = Path(__file__).resolve().parent.parent

# Before anything imports NumPy or PyTorch, and for every process that a test starts: small networks
# wait for a second thread, busily, longer than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Garbage is collected less often: by default after each 700 new objects, a tenth of the time of
# tests in Python. (Hypothesis and coverage make each collection dearer.)
gc.set_threshold(50_000, 20, 20)

# Before anything imports rclpy, and for every process that a test starts: no other run's nodes are
# seen, nothing leaves this machine, images fit the transport, and logs do not need a home folder.
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
stay_on_this_machine(Path(tempfile.mkdtemp(prefix="mast3r_ros_dds_")))
os.environ.setdefault("ROS_LOG_DIR", tempfile.mkdtemp(prefix="mast3r_ros_log_"))

_NO_DATA = "no folder"


def _folder(variable: str, beside: str) -> Path:
    path = Path(os.environ.get(variable) or _ROOT.parent / beside)
    if not path.is_dir():
        pytest.skip(f"{_NO_DATA} {path} (set {variable} to where it is)")
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


@pytest.fixture(scope="session")
def quick_export() -> Iterator[None]:
    """PyTorch's exporter, at once and without coverage, which takes longer than the exporter."""
    import torch

    with pytest.MonkeyPatch.context() as patch:
        # Where this PyTorch has it. Making the table anew for each graph takes half of the time.
        with contextlib.suppress(ImportError):
            from torch.onnx._internal.exporter._registration import ONNXRegistry

            table = staticmethod(functools.cache(ONNXRegistry.from_torchlib))
            patch.setattr(ONNXRegistry, "from_torchlib", table)
        for module in (torch.export, torch.onnx):
            patch.setattr(module, "export", untraced(module.export))
        yield


@pytest.fixture(scope="session")
def half_graphs(
    quick_export: None, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Graphs]:
    """The graphs of a small network at a half precision: exporting them takes some ten seconds."""

    @functools.cache
    def exported(precision: str) -> Graphs:
        # PyTorch: imported for the tests of the engines alone.
        from network_reference import EXPORTED, random_network

        from mast3r_ros.common.size import ImageSize
        from mast3r_ros.engines.export import export

        wide, tall = ImageSize(96, 64), ImageSize(64, 96)
        folder = tmp_path_factory.mktemp(precision)
        return export(random_network(EXPORTED), folder, [wide], [(wide, tall)], precision)

    return exported


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Does not measure the coverage of processes that a test starts where its own is not."""
    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("no_cover"):
            leave_children_untraced(patch)
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what is marked `ros` where no ROS 2 is sourced, such as after `pip install`."""
    if "AMENT_PREFIX_PATH" not in os.environ:
        skip = pytest.mark.skip(reason="no ROS 2 in this shell (source install/setup.bash)")
        for item in items:
            if item.get_closest_marker("ros"):
                item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Names the tests that ran without their data: a run without them shows less."""
    skipped = [
        report.nodeid
        for report in terminalreporter.stats.get("skipped", [])
        if _NO_DATA in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.section(f"{len(skipped)} tests skipped: their data is not here")
        for name in skipped:
            terminalreporter.line(name)
