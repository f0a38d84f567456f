# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What `make setup` does to a virtual environment and how it notices what is done."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tools(monkeypatch):
    """Imports a module of tools/, which is no package: its scripts run on a bare python3."""
    monkeypatch.syspath_prepend(str(_ROOT / "tools"))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, _ROOT / f"tools/{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_cmake_files_are_patched_once(tools, tmp_path):
    export = tmp_path / "share/p/cmake/export.cmake"
    export.parent.mkdir(parents=True)
    built_on = "/opt/python/cp310-cp310"
    export.write_text(
        f'  "{built_on}/include/python3.10;'
        f'{built_on}/lib/python3.10/site-packages/numpy/core/include"\n'
    )
    patch = tools("underlay").patch_cmake_files

    assert patch(tmp_path, "/here/include", "/here/numpy") == [export]
    assert export.read_text() == '  "/here/include;/here/numpy"\n'
    assert patch(tmp_path, "/here/include", "/here/numpy") == []


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_local_setup_prepends_once(tools, tmp_path, shell):
    underlay = tools("underlay")
    prefix = tmp_path / "with space"
    prefix.mkdir()
    underlay.write_local_setup(prefix, underlay.PATHS["wheels"])
    # bash stands in for zsh, which few machines have: all three files hold the same text.
    script = f'. "{prefix}/local_setup.{shell}"; ' * 2 + "/usr/bin/env"
    interpreter = "sh" if shell == "sh" else "bash"

    done = subprocess.run(
        [interpreter, "-euc", script],
        env={"PATH": os.environ["PATH"], "AMENT_PREFIX_PATH": "/opt/ros/x"},
        capture_output=True,
        text=True,
        check=True,
    )

    variables = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert variables["AMENT_PREFIX_PATH"] == f"{prefix}:/opt/ros/x"
    assert variables["CMAKE_PREFIX_PATH"] == str(prefix)
    assert variables["PATH"] == f"{prefix}/bin:{os.environ['PATH']}"


def test_an_interrupted_step_is_not_done(tools, tmp_path):
    stamps = tools("steps").Stamps(tmp_path / "stamps")
    stamps.begin("build")
    stamps.end("build", "a")
    assert stamps.is_done("build", "a")
    assert not stamps.is_done("build", "b")

    stamps.begin("build")

    assert stamps.was_interrupted("build")
    assert not stamps.is_done("build", "a")


def test_a_digest_sees_names_contents_and_words(tools, tmp_path):
    digest = tools("steps").digest
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("text")
    two.write_text("text")

    assert digest([one]) == digest([one])
    assert len({digest([one]), digest([two]), digest([one, two]), digest([one], "word")}) == 4
    before = digest([one])
    one.write_text("other text")
    assert digest([one]) != before


def test_a_failed_command_names_the_log(tools, tmp_path):
    steps = tools("steps")
    runner = steps.Runner(tmp_path / "log/set_up.log")
    runner.begin("A step")

    with pytest.raises(steps.StepFailed, match=r"(?s)no such luck.*A step.*log/set_up\.log"):
        runner.run([sys.executable, "-c", "raise SystemExit('no such luck')"], os.environ)


def test_missing_programs_are_named_all_at_once(tools, tmp_path):
    system = tools("system")

    with pytest.raises(
        system.SystemProblem, match=r"cmake, gcc, g\+\+, make.*\n.*\n  sudo apt"
    ) as e:
        system.check(ros=False, environ={"PATH": str(tmp_path)})

    assert "sudo apt install cmake gcc g++ make" in str(e.value)


def test_missing_libraries_are_named_with_their_packages(tools, monkeypatch):
    system = tools("system")
    monkeypatch.setattr(system, "_LIBRARIES", {"libno-such-thing.so.7": "libno-such-thing7"})

    with pytest.raises(system.SystemProblem, match=r"libno-such-thing\.so\.7") as e:
        system.check(ros=False, environ={"PATH": os.environ["PATH"]})

    assert "sudo apt install libno-such-thing7" in str(e.value)


def test_the_manifest_agrees_with_the_build(tools, tmp_path):
    problems = tools("check_manifest").problems
    assert problems(_ROOT) == []

    for name in ("package.xml", "pyproject.toml", "CMakeLists.txt"):
        (tmp_path / name).write_text((_ROOT / name).read_text())
    for kind in ("action", "msg", "srv"):
        (tmp_path / kind).mkdir()
    (tmp_path / "msg/Forgotten.msg").touch()
    (tmp_path / "package.xml").write_text(
        (_ROOT / "package.xml").read_text().replace("<version>0.1.0", "<version>0.2.0")
    )

    found = problems(tmp_path)
    assert any("version" in text for text in found)
    assert any("msg/Forgotten.msg" in text for text in found)


def test_imports_are_declared(tools, tmp_path):
    problems = tools("check_imports").problems
    assert problems(_ROOT) == []

    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/core.txt").write_text("# a comment\nopencv-python-headless>=4\n")
    (tmp_path / "package.xml").write_text((_ROOT / "package.xml").read_text())
    (tmp_path / "mast3r_ros").mkdir()
    (tmp_path / "mast3r_ros/module.py").write_text("import os, rclpy\nimport cv2, hypothesis\n")

    assert problems(tmp_path) == [
        "mast3r_ros/module.py: imports hypothesis, which no requirements file or package.xml names"
    ]


def test_release_notes_are_the_section_of_that_version(tools, tmp_path):
    module = tools("release_notes")
    (tmp_path / "package.xml").write_text("<version>0.2.0</version>")
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [Unreleased]\n- later\n\n## [0.2.0] - 2026-12-01\n### Added\n- this\n\n"
        "## [0.1.0] - 2026-11-01\n- before\n"
    )
    assert module.notes(tmp_path, "0.2.0") == "### Added\n- this"

    with pytest.raises(module.NotesError, match=r"package\.xml: version 0\.2\.0, tag 0\.1\.0"):
        module.notes(tmp_path, "0.1.0")
    (tmp_path / "CHANGELOG.md").write_text("## [0.2.0]\n\n## [0.1.0]\n- before\n")
    with pytest.raises(module.NotesError, match=r"no notes for 0\.2\.0"):
        module.notes(tmp_path, "0.2.0")


@pytest.mark.parametrize("major", [12, 13])
def test_the_extras_of_cuda_take_libraries_of_their_own_version_alone(major):
    """Libraries of CUDA 13 do not run on a driver of CUDA 12, which the extra cuda12 is for."""
    lines = (_ROOT / f"requirements/cuda{major}.txt").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    assert len(wanted) == 2
    for requirement in wanted:
        assert f"{major}.9" in requirement.specifier
        assert f"{major + 1}.0" not in requirement.specifier
        assert f"{major - 1}.9" not in requirement.specifier


def test_constraints_name_each_package_once(tools):
    """Once, or once for each side of one Python version; and in order, so that one is found."""
    lines = (_ROOT / "requirements/constraints.txt").read_text().splitlines()
    pins = [line.partition("==") for line in lines if not line.startswith("#")]
    names = [name.replace("_", "-").replace(".", "-").lower() for name, _, _ in pins]
    assert names == sorted(names)
    for name in {n for n in names if names.count(n) > 1}:
        markers = [
            v.partition(";")[2] for n, (_, _, v) in zip(names, pins, strict=True) if n == name
        ]
        assert sorted(m.split()[1] for m in markers) == ["<", ">="], name


def test_plugins_of_a_ros_installation_do_not_break_pytest(tmp_path):
    """Those of launch_testing have arguments that pytest 9 removed, and need each other."""
    for package, name in (
        ("launch_testing", "launch_testing"),
        ("launch_testing_ros", "launch_ros"),
    ):
        module = f"plugin_of_{package}"
        (tmp_path / f"{module}.py").write_text("def pytest_no_such_hook(path): pass\n")
        about = tmp_path / f"{package}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])

    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider",
         "test/test_options.py"],
        cwd=_ROOT, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True,
    )  # fmt: skip

    assert result.returncode == 0, result.stdout + result.stderr
