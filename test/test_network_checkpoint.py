# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: both formats, both names of the shared tensors, and files that must be refused."""

import argparse
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from network_reference import TINY, random_network, reference_folder
from safetensors.torch import load_file, save_file

from mast3r_ros.network import MAST3RConfig
from mast3r_ros.network.checkpoint import (
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
    with_aliases,
)
from mast3r_ros.network.fetch import checkpoint_hash
from mast3r_ros.network.mast3r import MAST3R

# Heads of 64, so that its sizes can be told from the tensors alone.
PLAIN = replace(TINY, encoder_width=128, decoder_width=64, encoder_heads=2, decoder_heads=1)


def assert_same(ours: MAST3R, theirs: MAST3R) -> None:
    assert ours.config == theirs.config
    expected = theirs.state_dict()
    actual = ours.state_dict()
    assert list(actual) == list(expected)
    for key, value in expected.items():
        assert torch.equal(actual[key], value), key


@pytest.mark.parametrize(
    ("suffix", "names"),
    [
        (".pth", "layer"),
        (".pth", "list"),
        (".pth", "both"),
        (".safetensors", "layer"),
        (".safetensors", "list"),
    ],
)
def test_saved_and_loaded(tmp_path: Path, suffix: str, names: str) -> None:
    model = random_network()
    path = tmp_path / f"weights{suffix}"
    save_checkpoint(model, path, names)
    assert_same(load_checkpoint(path), model)
    assert checkpoint_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_half_the_room_on_disk_and_float32_again(tmp_path: Path, suffix: str) -> None:
    model = random_network(replace(LINEAR, rays=True, image_size=128))
    whole, half = tmp_path / f"whole{suffix}", tmp_path / f"half{suffix}"
    save_checkpoint(model, whole)
    save_checkpoint(model, half, half=True)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    loaded = load_checkpoint(half)
    assert loaded.config == model.config
    for key, value in model.state_dict().items():
        assert loaded.state_dict()[key].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[key], value.half().float()), key


LINEAR = replace(
    PLAIN,
    head="linear",
    dpt_level_channels=MAST3RConfig.dpt_level_channels,
    dpt_channels=MAST3RConfig.dpt_channels,
    dpt_last_channels=MAST3RConfig.dpt_last_channels,
)


@pytest.mark.parametrize("config", [PLAIN, LINEAR], ids=["dpt", "linear"])
def test_a_published_kind_of_file_needs_no_sizes(tmp_path: Path, config: MAST3RConfig) -> None:
    model = random_network(config)
    ran = tmp_path / "ran"
    args = argparse.Namespace(model=f"open({str(ran)!r}, 'w')", epochs=3)
    state = with_aliases(model.state_dict(), "both")
    torch.save({"args": args, "model": state}, tmp_path / "a.pth")
    assert_same(load_checkpoint(tmp_path / "a.pth"), model)
    assert not ran.exists()
    save_file(dict(model.state_dict()), tmp_path / "a.safetensors")
    assert_same(load_checkpoint(tmp_path / "a.safetensors"), model)


def test_both_formats_take_no_second_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two names"):
        save_checkpoint(random_network(), tmp_path / "a.safetensors", "both")
    with pytest.raises(ValueError, match="suffix"):
        save_checkpoint(random_network(), tmp_path / "a.bin")


class Hostile:
    """Runs code when it is unpickled carelessly."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.proof,))


def test_a_pickle_that_runs_code_does_not(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    state = random_network().state_dict()
    torch.save({"args": Hostile(proof), "model": state}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="more than plain weights"):
        load_checkpoint(tmp_path / "a.pth")
    assert not proof.exists()
    torch.load(tmp_path / "a.pth", weights_only=False)  # the file is as hostile as it looks
    assert proof.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 100, 20_000])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, kept: int) -> None:
    path = tmp_path / f"weights{suffix}"
    save_checkpoint(random_network(), path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=f"weights{suffix} is damaged"):
        load_checkpoint(path)


def test_missing_foreign_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(random_network(), path)
    state = load_file(path)
    config = TINY
    state["enc_norm.bias"] = torch.zeros(5)
    del state["enc_blocks.1.attn.qkv.weight"]
    state["classifier.weight"] = torch.zeros(3)
    save_file(state, path)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, config)
    message = str(caught.value)
    assert "1 missing: enc_blocks.1.attn.qkv.weight" in message
    assert "1 foreign: classifier.weight" in message
    assert "enc_norm.bias (5,) instead of (32,)" in message


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "none.pth")
    (tmp_path / "a.onnx").touch()
    with pytest.raises(CheckpointError, match="suffix"):
        load_checkpoint(tmp_path / "a.onnx")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="no state dict under 'model'"):
        load_checkpoint(tmp_path / "list.pth")
    save_file({"fc.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"no tensor patch_embed.proj.weight"):
        load_checkpoint(tmp_path / "other.safetensors")
    state = with_aliases(random_network(PLAIN).state_dict(), "both")
    key = "downstream_head1.dpt.scratch.layer_rn.2.weight"
    state[key] = state[key] + 1
    torch.save({"model": state}, tmp_path / "torn.pth")
    with pytest.raises(CheckpointError, match="are one tensor, but differ"):
        load_checkpoint(tmp_path / "torn.pth")
    save_file(dict(random_network().state_dict()), tmp_path / "narrow.safetensors")
    with pytest.raises(CheckpointError, match="give its configuration"):
        load_checkpoint(tmp_path / "narrow.safetensors")
    assert_same(load_checkpoint(tmp_path / "narrow.safetensors", TINY), random_network())


def published_shapes() -> dict[str, tuple[int, ...]]:
    """The list of published keys, its patterns written out."""
    shapes = {}
    for line in (reference_folder() / "mast3r_state_dict.tsv").read_text().splitlines():
        pattern, shape, count = line.split("\t")
        depth = 24 if pattern.startswith("enc_blocks") else 12
        keys = [pattern]
        for parts in (
            [(".N.", f".{i}.") for i in range(depth)],
            [("headH", f"head{i}") for i in (1, 2)],
            [("refinenetR", f"refinenet{i}") for i in (1, 2, 3, 4)],
            [("resConfUnitU", f"resConfUnit{i}") for i in (1, 2)],
        ):
            if any(parts[0][0] in key for key in keys):
                keys = [key.replace(old, new) for key in keys for old, new in parts]
        assert len(keys) == int(count)
        shapes |= dict.fromkeys(keys, tuple(int(side) for side in shape.split("x")))
    return shapes


def test_full_size_keys_and_shapes() -> None:
    with torch.device("meta"):
        model = MAST3R(MAST3RConfig())
    state = with_aliases(model.state_dict(), "both")
    assert {key: tuple(value.shape) for key, value in state.items()} == published_shapes()
    assert len(state) == 1017
    assert sum(p.numel() for p in model.parameters()) == 688_638_856


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "names"), [(".pth", "both"), (".safetensors", "list")])
def test_full_size_files(tmp_path: Path, suffix: str, names: str) -> None:
    with torch.device("meta"):
        model = MAST3R(MAST3RConfig())
    state = {
        key: torch.full(value.shape, i % 1000, dtype=torch.bfloat16)
        for i, (key, value) in enumerate(model.state_dict().items())
    }
    model.load_state_dict(state, assign=True)
    path = tmp_path / f"full{suffix}"
    save_checkpoint(model, path, names)
    loaded = load_checkpoint(path)
    path.unlink()
    assert loaded.config == MAST3RConfig()
    assert {k: v.flatten()[0].item() for k, v in loaded.state_dict().items()} == {
        k: v.flatten()[0].item() for k, v in state.items()
    }
