# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Makes the environment in .venv and builds the package into install/: `make setup`.

With a ROS 2 installation sourced (ROS_DISTRO is set) that is the underlay, else ROS 2 wheels are
installed. Runs on a bare python3. Steps that are done and still fit their files are skipped.
"""

import fcntl
import os
import shutil
import sys
from pathlib import Path

import system
import underlay
from steps import Runner, Stamps, StepFailed, digest

_ROOT = Path(__file__).resolve().parent.parent
_VENV = _ROOT / ".venv"
_PYTHON = _VENV / "bin/python3"
_REQUIREMENTS = _ROOT / "requirements"
_LOG = _ROOT / "log/set_up.log"

# Through these, a shell that has sourced install/setup.* or a virtual environment would shine.
_PATH_VARIABLES = (
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONPATH",
)


class SetUp:
    """The steps, from an empty clone to a built package."""

    def __init__(self, ros: bool) -> None:
        self._ros = ros
        self._underlay = "installation" if ros else "wheels"
        self._runner = Runner(_LOG)
        self._stamps = Stamps(_VENV / ".set_up")
        self._env = _clean_environment()

    def run(self) -> None:
        """Runs what has not been done yet."""
        # The interpreter beneath, should this one be the environment's own.
        base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        # CMake and the environment's own scripts hold absolute paths: a moved checkout starts anew.
        key = digest((), str(_ROOT), str(base), python, self._underlay)
        if not self._stamps.is_done("environment", key) or self._stamps.was_interrupted("packages"):
            self._make_environment(base, key)

        _activate(self._env, self._underlay)
        files = [*_REQUIREMENTS.glob("*.txt"), Path(underlay.__file__)]
        key = digest(files, key)
        if not self._stamps.is_done("packages", key):
            self._install_packages(key)

        if not self._ros:
            for package in _MESSAGES:
                key = digest(_files(f"tools/{package}/**/*"), key)
                if not self._stamps.is_done(package, key):
                    self._build_messages(package, key)

        key = digest(
            _files("action/*", "msg/*", "srv/*", "scripts/*", "CMakeLists.txt", "package.xml")
            + _files("mast3r_ros/**/*.?pp", "mast3r_ros/**/*.cu*"),
            key,
            # Installed as links: only what files there are matters.
            *map(str, _files("mast3r_ros/**/*.py", "mast3r_ros/weights/*")),
            *map(str, _files("launch/*", "config/*")),
        )
        if not (self._stamps.is_done("build", key) and (_ROOT / "install/setup.sh").is_file()):
            self._build(key)

    def _make_environment(self, base: Path, key: str) -> None:
        self._runner.begin("Virtual environment in .venv")
        for folder in (_VENV, _ROOT / "build", _ROOT / "install"):
            shutil.rmtree(folder, ignore_errors=True)
        options = ["--system-site-packages"] if self._ros else []
        self._runner.run([base, "-m", "venv", *options, _VENV], self._env)
        self._stamps.begin("environment")
        self._stamps.end("environment", key)
        self._runner.end()

    def _install_packages(self, key: str) -> None:
        self._runner.begin("Python packages" if self._ros else "Python packages, among them ROS 2")
        self._stamps.begin("packages")
        names = ["core", "report", "mast3r", "lighterglue", "onnx", "mapping", "cluster"]
        names += ["train", "dev"]
        if self._ros:
            requirements, constraints = _beside_ros(names)
        else:
            requirements = [_REQUIREMENTS / f"{name}.txt" for name in (*names, "ros_wheels")]
            constraints = _REQUIREMENTS / "constraints.txt"
        options = ["--no-input", "--disable-pip-version-check"]
        pip: list[str | Path] = [_PYTHON, "-m", "pip", "install", *options]
        chosen: list[str | Path] = [word for path in requirements for word in ("-r", path)]
        self._runner.run([*pip, "-c", constraints, *chosen], self._env)
        # Of what these ask for, nothing is used that is not there already.
        alone: list[str | Path] = [
            _REQUIREMENTS / "xfeat.txt",
            "-r",
            _REQUIREMENTS / "textures.txt",
        ]
        self._runner.run([*pip, "--no-deps", "-c", constraints, "-r", *alone], self._env)
        self._runner.run([_PYTHON, underlay.__file__, self._underlay], self._env)
        self._stamps.end("packages", key)
        self._runner.end()

    def _build_messages(self, package: str, key: str) -> None:
        self._runner.begin(f"{package}, which is not among the wheels")
        self._stamps.begin(package)
        build = _ROOT / f"build/{package}"
        shutil.rmtree(build, ignore_errors=True)
        self._runner.run(
            [
                *("cmake", "-S", _ROOT / f"tools/{package}", "-B", build),
                *(f"-DCMAKE_INSTALL_PREFIX={_VENV}", *_CMAKE_OPTIONS),
            ],
            self._env,
        )
        self._runner.run(
            ["cmake", "--build", build, "--parallel", "--target", "install"], self._env
        )
        self._stamps.end(package, key)
        self._runner.end()

    def _build(self, key: str) -> None:
        self._runner.begin("mast3r_ros, its messages and kernels")
        self._stamps.begin("build")
        colcon: list[str | Path] = ["colcon"] if self._ros else [_PYTHON, "-m", "colcon"]
        self._runner.run(
            [
                *(*colcon, "build", "--symlink-install", "--packages-select", "mast3r_ros"),
                *("--base-paths", _ROOT),
                *("--build-base", _ROOT / "build"),
                *("--install-base", _ROOT / "install"),
                *("--event-handlers", "console_direct+", "desktop_notification-"),
                *("--cmake-args", *_CMAKE_OPTIONS),
            ],
            self._env | {"COLCON_LOG_PATH": str(_ROOT / "log")},
        )
        self._stamps.end("build", key)
        self._runner.end()


# Interface packages that are not among the wheels; a ROS 2 installation has them.
_MESSAGES = ("tf2_msgs", "bond")
_CMAKE_OPTIONS = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_TESTING=OFF",
    f"-DPython3_EXECUTABLE={_PYTHON}",
]


def _files(*patterns: str) -> list[Path]:
    found = (path for pattern in patterns for path in _ROOT.glob(pattern))
    return sorted(path for path in found if path.is_file())


def _clean_environment() -> dict[str, str]:
    env = dict(os.environ)
    for name in _PATH_VARIABLES:
        parts = [part for part in env.pop(name, "").split(":") if part]
        kept = [part for part in parts if not Path(part).is_relative_to(_ROOT)]
        if kept:
            env[name] = ":".join(kept)
    for name in ("VIRTUAL_ENV", "_ROS_WHEELS_BOOTSTRAP_COMPLETE"):
        env.pop(name, None)
    return env


def _activate(env: dict[str, str], kind: str) -> None:
    # By the last, colcon knows what to chain from install/setup.*.
    for name, suffix in {**underlay.PATHS[kind], "COLCON_PREFIX_PATH": ""}.items():
        env[name] = ":".join(filter(None, [f"{_VENV}{suffix}", env.get(name)]))


def _beside_ros(names: list[str]) -> tuple[list[Path], Path]:
    """Returns requirements without what the system provides, and its numpy as a constraint."""
    import numpy as np

    folder = _VENV / ".set_up"
    provided = ("numpy", "opencv-python-headless", "scipy", "pyyaml")
    requirements = []
    for name in names:
        if name == "onnx" and tuple(map(int, np.__version__.split(".")[:2])) < (1, 23):
            continue  # There is no onnxruntime for the numpy of Ubuntu 22.04.
        lines = (_REQUIREMENTS / f"{name}.txt").read_text().splitlines()
        kept = [line for line in lines if not line.lower().startswith(provided)]
        requirements.append(folder / f"{name}.txt")
        requirements[-1].write_text("\n".join(kept) + "\n")
    constraints = folder / "constraints.txt"
    pins = (_REQUIREMENTS / "constraints.txt").read_text().splitlines()
    torch = [line for line in pins if line.startswith("torch==")]
    constraints.write_text("\n".join([f"numpy=={np.__version__}", *torch]) + "\n")
    return requirements, constraints


def main() -> int:
    """Sets up, and returns the exit status."""
    ros = bool(os.environ.get("ROS_DISTRO"))
    # One at a time, should two terminals say `make` at once.
    lock = os.open(_ROOT, os.O_RDONLY)
    try:
        system.check(ros, os.environ)
        fcntl.flock(lock, fcntl.LOCK_EX)
        SetUp(ros).run()
    except (system.SystemProblem, StepFailed) as problem:
        print(f"\n{problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return 130
    finally:
        os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
