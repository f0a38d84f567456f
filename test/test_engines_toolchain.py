# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The TensorRT family with no GPU: its compiler takes our graphs, its bindings have our names.

This proves no numbers, no speed, and no build for a Jetson (SM87) or an H200 (SM90).
"""

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from network_reference import TINY, random_network
from untraced import untraced_environment

from mast3r_ros.common.size import ImageSize
from mast3r_ros.engines import tensorrt_build, tensorrt_engine, tensorrt_program
from mast3r_ros.engines.export import export
from mast3r_ros.engines.graphs import Graphs
from mast3r_ros.engines.memory_plan import memory_plan, parameters
from mast3r_ros.network.config import MAST3RConfig

pytestmark = pytest.mark.usefixtures("quick_export")
ROOT = Path(__file__).resolve().parents[1]
WIDE, TALL = ImageSize(96, 64), ImageSize(64, 96)

# Which class of the bindings stands behind a name in our source.
CLASSES = {
    tensorrt_build: {
        "builder": "Builder",
        "network": "INetworkDefinition",
        "parser": "OnnxParser",
        "config": "IBuilderConfig",
        "profile": "IOptimizationProfile",
        "tensor": "ITensor",
        "timing": "ITimingCache",
    },
    tensorrt_engine: {
        "self._runtime": "Runtime",
    },
    tensorrt_program: {
        "engine": "ICudaEngine",
        "self._engine": "ICudaEngine",
        "context": "IExecutionContext",
    },
}


@pytest.fixture(scope="module")
def wheels() -> Path:
    folder = ROOT / "build" / "tensorrt_wheels"
    command = [sys.executable, ROOT / "tools" / "tensorrt_wheels.py", folder]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 75:
        pytest.skip(f"PACKAGE INDEX OUT OF REACH, TensorRT is not looked at: {result.stderr}")
    assert result.returncode == 0, result.stderr
    return folder


BUILD = """
import sys
from dataclasses import replace
from pathlib import Path
import tensorrt_rtx as trt
from mast3r_ros.engines.tensorrt_build import compile_graph

folder, *names = sys.argv[1:]

def for_capabilities(config):
    config.num_compute_capabilities = len(names)
    for i, name in enumerate(names):
        assert config.set_compute_capability(getattr(trt.ComputeCapability, name), i), name

for path in sorted(Path(folder).glob("*.onnx")):
    plan, _ = compile_graph(trt, path, batch=8, configure=for_capabilities)
    print(path.name, len(plan))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "capabilities"), [("fp16", ["SM86", "SM89", "SM120"]), ("bf16", ["SM89"])]
)
def test_rtx_builds_the_three_graphs_ahead_of_time(
    wheels: Path, half_graphs: Callable[[str], Graphs], precision: str, capabilities: list[str]
) -> None:
    """Batches of 1 to 8, and in fp16 for three kinds of GPUs in one build."""
    graphs = half_graphs(precision).folder
    sizes = plan_sizes(wheels, graphs, *capabilities)
    assert sorted(sizes) == ["decoder", "encoder", "points"]
    weights = sum(file.stat().st_size for file in graphs.glob("*.data"))
    assert sum(sizes.values()) > weights


@pytest.mark.slow
def test_plans_are_as_large_as_the_memory_plan_says(wheels: Path, tmp_path: Path) -> None:
    """Of a network large enough for weights to be most of a plan: 70 MB in fp16.

    The rest is code: up to a megabyte a block, which in the published network is 3 %.
    """
    # Wide and with few blocks: the export takes its time by the block.
    config = MAST3RConfig(
        **{"encoder_width": 768, "encoder_depth": 1, "encoder_heads": 12},
        **{"decoder_width": 768, "decoder_depth": 1, "decoder_heads": 12},
        head="linear",
        local_features_ratio=1,
    )
    export(random_network(config), tmp_path, [WIDE], [(WIDE, WIDE)], "fp16")
    measured = plan_sizes(wheels, tmp_path, "SM89")
    blocks = {"encoder": config.encoder_depth, "decoder": 2 * config.decoder_depth, "points": 1}
    for name, count in parameters(config).items():
        assert 2 * count < measured[name] < 2 * count + 2e6 + 1.2e6 * blocks[name], name
    planned = memory_plan(config, [WIDE], "fp16", 8).weights
    assert planned == pytest.approx(sum(measured.values()), rel=0.2)


def plan_sizes(wheels: Path, graphs: Path, *capabilities: str) -> dict[str, int]:
    """Bytes of the plans that TensorRT for RTX builds, by graph."""
    environment = untraced_environment(PYTHONPATH=f"{ROOT}:{wheels / 'rtx'}")
    result = subprocess.run(
        [sys.executable, "-c", BUILD, graphs, *capabilities],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = (line.split() for line in result.stdout.splitlines())
    return {name.partition("_")[0]: int(size) for name, size in lines}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def names(source: str, classes: dict[str, str]) -> Iterator[str]:
    """Dotted names below the bindings' module that a source file uses."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute):
            continue
        whole = dotted(node)
        root, _, rest = whole.partition(".")
        if root in ("trt", "tensorrt"):
            yield rest
        elif whole.startswith("self._trt."):
            yield whole.removeprefix("self._trt.")
        owner, _, member = whole.rpartition(".")
        if owner in classes:
            yield f"{classes[owner]}.{member}"


LOOK = """
import json, sys
import tensorrt_bindings
missing = []
for name in json.loads(sys.argv[1]):
    owner = tensorrt_bindings
    for part in name.split("."):
        if not hasattr(owner, part):
            missing.append(name)
            break
        owner = getattr(owner, part)
print(json.dumps([tensorrt_bindings.__version__, missing]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", ["10.3", "10.13", "11.4"])
def test_every_name_is_in_the_bindings(wheels: Path, version: str) -> None:
    used = {
        name
        for module, classes in CLASSES.items()
        for name in names(Path(module.__file__).read_text(), classes)
    }
    assert {
        "OnnxParser.parse_from_file",
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "Builder.build_serialized_network",
        "IExecutionContext.set_tensor_address",
        "IExecutionContext.execute_async_v3",
        "IExecutionContext.update_device_memory_size_for_shapes",
        "IExecutionContext.set_device_memory",
        "ExecutionContextAllocationStrategy.USER_MANAGED",
        "ICudaEngine.create_execution_context",
        "ILogger",
        "IBuilderConfig.set_memory_pool_limit",
        "ITimingCache.serialize",
    } <= used
    folder = wheels / version
    environment = untraced_environment(
        PYTHONPATH=str(folder), LD_LIBRARY_PATH=str(folder / "stand_ins")
    )
    gone = "BuilderFlag.INT8_OF_OLD"  # the look itself is looked at
    result = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(sorted(used | {gone}))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found, missing = json.loads(result.stdout)
    assert found.startswith(version)
    assert missing == [gone]


@pytest.mark.slow
def test_rtx_builds_rotary_layers(wheels: Path, tmp_path: Path) -> None:
    config = replace(TINY, patch_size=16, head="linear", encoder_depth=1, decoder_depth=1)
    export(random_network(config), tmp_path, [WIDE], [(TALL, WIDE)], "fp16", rotary_layer=True)
    assert sorted(plan_sizes(wheels, tmp_path, "SM89")) == ["decoder", "encoder", "points"]
