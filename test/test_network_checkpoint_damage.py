# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Damaged checkpoints: a mutated file loads, or a CheckpointError refuses it."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network_reference import random_network

from mast3r_ros.network import checkpoint

# Where in the file the structure lies: the front, and of a zip archive the end too.
_POSITIONS = st.one_of(st.integers(0, 3000), st.integers(-6000, -1))
_MUTATIONS = st.lists(
    st.tuples(_POSITIONS, st.integers(0, 40), st.binary(max_size=8)), min_size=1, max_size=5
)


@pytest.fixture(scope="module", params=[".pth", ".safetensors"])
def whole(request, tmp_path_factory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("damage") / f"weights{request.param}"
    checkpoint.save_checkpoint(random_network(), path)
    return path, path.read_bytes()


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mutations=_MUTATIONS)
def test_a_mutated_file_is_read_or_refused(whole, mutations):
    path, before = whole
    after = bytearray(before)
    for position, removed, inserted in mutations:
        start = position % len(after)
        after[start : start + removed] = inserted
    mutated = path.with_name(f"mutated{path.suffix}")
    mutated.write_bytes(after)
    with contextlib.suppress(checkpoint.CheckpointError):
        checkpoint.load_checkpoint(mutated)


@pytest.mark.parametrize("error", [IndexError(), AssertionError("storage"), TypeError("argument")])
def test_whatever_the_unpickler_raises_names_the_file(tmp_path, monkeypatch, error):
    """Those that mutated files were seen to raise."""

    def load(*_, **__):
        raise error

    monkeypatch.setattr(checkpoint.torch, "load", load)
    path = tmp_path / "a.pth"
    path.touch()
    with pytest.raises(checkpoint.CheckpointError, match=r"a\.pth is damaged"):
        checkpoint.load_checkpoint(path)
