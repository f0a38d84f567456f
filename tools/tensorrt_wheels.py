# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Fetches what the tests of the TensorRT engine look at: `python3 tools/tensorrt_wheels.py FOLDER`.

- FOLDER/rtx: TensorRT for RTX, which parses and builds without a GPU. Its own environment: it is no
  dependency of the package.
- FOLDER/VERSION: the Python bindings of each TensorRT version that the engine is meant for, and
  stand-ins for the libraries that they load, so that their names can be looked at.

Exits with 0 where all is there, and with 75 (try again later) where the package index is out of
reach.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

RTX = "tensorrt-rtx-cu13==1.7.1.116"
BINDINGS = {
    "10.3": "tensorrt-cu12-bindings==10.3.0",
    "10.13": "tensorrt-cu12-bindings==10.13.0.35",
    "11.4": "tensorrt-cu13-bindings==11.4.0.106",
}
UNREACHABLE = 75

_LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
_SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)


class Unreachable(Exception):
    """The package index does not answer."""


def fetch(folder: Path) -> None:
    """Brings whatever is not there yet; each part appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, requirement in {"rtx": RTX, **BINDINGS}.items():
        target = folder / name
        if target.is_dir():
            continue
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            part = Path(scratch) / "part"
            _pip("install", "--target", str(part), *_dependencies(name), requirement)
            if name != "rtx":
                _stand_ins(part, name.partition(".")[0])
            part.rename(target)


def _dependencies(name: str) -> list[str]:
    return [] if name == "rtx" else ["--no-deps"]


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return
    signs = ("Retrying (", "Temporary failure in name resolution", "ConnectionError")
    if any(sign in result.stdout + result.stderr for sign in signs):
        raise Unreachable(result.stderr)
    raise RuntimeError(f"pip {' '.join(arguments)}:\n{result.stderr}")


def _stand_ins(part: Path, major: str) -> None:
    """Libraries with the entry points that the bindings look for, and nothing behind them."""
    libraries = part / "stand_ins"
    libraries.mkdir()
    source = libraries / "entry_points.c"
    source.write_text("\n".join(f"void *{name}(void) {{ return 0; }}" for name in _SYMBOLS) + "\n")
    for library in _LIBRARIES:
        target = libraries / f"lib{library}.so.{major}"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", target, source], check=True)


def main() -> int:
    """Returns the exit status."""
    try:
        fetch(Path(sys.argv[1]))
    except Unreachable as error:
        print(error, file=sys.stderr)
        return UNREACHABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
