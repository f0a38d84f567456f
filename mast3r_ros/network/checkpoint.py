# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Network weights in files: the published `.pth` and `.safetensors`, and our own.

Nothing that a file holds is ever run or evaluated: pickles are read with `weights_only`, and the
sizes come from the tensors (or from the plain numbers that `save_checkpoint` stores).
"""

from __future__ import annotations

import argparse
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mast3r_ros.common.errors import UserError
from mast3r_ros.common.untrusted import brief
from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.mast3r import MAST3R

AliasForm = Literal["layer", "list", "both"]

_LIST_NAME = re.compile(r"scratch\.layer_rn\.(\d)\.")
_LAYER_NAME = re.compile(r"scratch\.layer(\d)_rn\.")
_PUBLISHED_HEAD_WIDTH = 64
_NAMED = 5  # how many names an error lists before it only counts


class CheckpointError(UserError, ValueError):
    """A file that does not hold the weights of such a network."""


def load_checkpoint(path: str | Path, config: MAST3RConfig | None = None) -> MAST3R:
    """The network of a checkpoint, float32 on the CPU, ready to run.

    The weights are mapped from the file, not copied, where their type allows it.

    Args:
        path: a `.pth` or `.safetensors` file, published or ours.
        config: sizes, where the file cannot tell them (head counts other than the published ones).

    Raises:
        CheckpointError: the file is damaged, foreign or hostile; names the tensors at fault.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    state, stored = _read(path)
    _require_plain(path, state)
    state = _without_aliases(path, state)
    total = sum(value.numel() * value.element_size() for value in state.values())
    if total > path.stat().st_size:
        raise CheckpointError(f"{path}: its tensors take {total} bytes, more than the file has")
    config = config or stored or infer_config(path, state)
    with torch.device("meta"):
        model = MAST3R(config)
    _check(path, state, model.state_dict())
    model.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    return model.eval().requires_grad_(False)


def save_checkpoint(
    model: MAST3R, path: str | Path, names: AliasForm = "layer", half: bool = False
) -> None:
    """Write the weights and sizes to a `.pth` or `.safetensors` file.

    Args:
        model: the network.
        path: the file; its suffix tells the format.
        names: which names the convolutions at the DPT's levels get: `layerK_rn`, `layer_rn.K`,
            or (as the published `.pth`) both. A `.safetensors` file cannot hold both.
        half: write float16, which takes half the room; it is float32 again when loaded.
    """
    path = Path(path)
    state = {
        key: (value.half() if half else value).detach().contiguous()
        for key, value in model.state_dict().items()
    }
    state = with_aliases(state, names)
    config = model.config.to_dict()
    if path.suffix == ".safetensors":
        if names == "both":
            raise ValueError("a .safetensors file holds no tensor under two names: choose one")
        save_file(state, path, metadata={"config": json.dumps(config), "format": "pt"})
    elif path.suffix == ".pth":
        torch.save({"config": config, "model": state}, path)
    else:
        raise ValueError(f"{path}: the suffix must be .pth or .safetensors")


def with_aliases(state: Mapping[str, Tensor], names: AliasForm) -> dict[str, Tensor]:
    """The same tensors with the DPT's level convolutions under the names asked for."""
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        listed = _LAYER_NAME.sub(lambda m: f"scratch.layer_rn.{int(m[1]) - 1}.", key)
        if names != "list" or listed == key:
            out[key] = value
        if names != "layer":
            out[listed] = value
    return out


def infer_config(path: str | Path, state: Mapping[str, Tensor]) -> MAST3RConfig:
    """Sizes from the tensors alone; heads are taken to be 64 wide, as the published ones are."""

    def shape(key: str, rank: int = 2) -> torch.Size:
        if key not in state:
            raise CheckpointError(f"{path} has no tensor {key}: it is not a MASt3R checkpoint")
        found = state[key].shape
        if len(found) != rank or not all(found):
            raise CheckpointError(
                f"{path}: tensor {key} has shape {tuple(found)}: expected {rank} sides, none of "
                "them 0; it is not a MASt3R checkpoint"
            )
        return found

    def depth(prefix: str) -> int:
        found = {key.split(".")[1] for key in state if key.startswith(prefix + ".")}
        return len(found)

    head = "downstream_head1."
    encoder_width, _, patch, _ = shape("patch_embed.proj.weight", 4)
    decoder_width = shape("decoder_embed.weight")[0]
    for part, width in (("encoder", encoder_width), ("decoder", decoder_width)):
        if width % _PUBLISHED_HEAD_WIDTH:
            raise CheckpointError(
                f"{path}: {part} of width {width} cannot have heads of "
                f"{_PUBLISHED_HEAD_WIDTH}; give its configuration when loading it"
            )
    sizes: dict[str, Any] = {
        "patch_size": patch,
        "encoder_width": encoder_width,
        "encoder_depth": depth("enc_blocks"),
        "encoder_heads": encoder_width // _PUBLISHED_HEAD_WIDTH,
        "decoder_width": decoder_width,
        "decoder_depth": depth("dec_blocks"),
        "decoder_heads": decoder_width // _PUBLISHED_HEAD_WIDTH,
    }
    hidden, features = shape(head + "head_local_features.fc1.weight")
    outputs = shape(head + "head_local_features.fc2.weight")[0]
    sizes["local_features_ratio"] = hidden // features
    sizes["descriptor_size"] = outputs // patch**2 - 1
    if head + "dpt.proj.weight" in state:
        sizes["head"] = "linear"
    else:
        levels = [shape(f"{head}dpt.scratch.layer{i}_rn.weight", 4) for i in (1, 2, 3, 4)]
        sizes["dpt_level_channels"] = tuple(level[1] for level in levels)
        sizes["dpt_channels"] = levels[0][0]
        sizes["dpt_last_channels"] = shape(head + "dpt.head.0.weight", 4)[0]
    try:
        return MAST3RConfig(**sizes)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _read(path: Path) -> tuple[dict[str, Tensor], MAST3RConfig | None]:
    """Tensors of a file by name, and the sizes where we stored them."""
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix == ".pth":
        return _read_pickle(path)
    raise CheckpointError(f"{path}: the suffix must be .pth or .safetensors")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], MAST3RConfig | None]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from error
    if "config" not in metadata:
        return state, None
    try:
        return state, MAST3RConfig.from_dict(json.loads(metadata["config"]))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: its stored configuration is unusable: {error}") from error


def _read_pickle(path: Path) -> tuple[dict[str, Tensor], MAST3RConfig | None]:
    _require_archive(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    # Of damaged bytes the unpickler makes calls that fail in any way: IndexError, TypeError,
    # AssertionError and others were seen.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{path} is damaged, no PyTorch checkpoint, or holds more than plain weights, and was "
            f"not read: {reason}"
        ) from error
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise CheckpointError(
            f"{path} has no state dict under 'model': it is no checkpoint of ours"
        )
    stored = content.get("config")
    try:
        return state, MAST3RConfig.from_dict(stored) if isinstance(stored, dict) else None
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: its stored configuration is unusable: {error}") from error


def _require_archive(path: Path) -> None:
    """Refuse a `.pth` that says how much is to be allocated before it holds it."""
    try:
        with zipfile.ZipFile(path) as archive:
            stored = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(
            f"{path} is damaged, or no PyTorch checkpoint of version 1.6 or later ({error}): "
            "fetch it again, or load and save it with a newer PyTorch"
        ) from error
    if stored > path.stat().st_size:
        raise CheckpointError(f"{path} is compressed: PyTorch's own checkpoints are not")


def _require_plain(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not all there: a file of a kilobyte can name one of a terabyte."""
    for key, value in state.items():
        plain = value.layout == torch.strided and value.device.type == "cpu"
        if not plain or not value.is_floating_point() or value.is_quantized:
            raise CheckpointError(
                f"{path}: tensor {brief(key)} of type {value.dtype}, {value.layout}, on "
                f"{value.device}: weights are plain floating-point numbers"
            )
        if value.untyped_storage().nbytes() < value.numel() * value.element_size():
            raise CheckpointError(
                f"{path}: tensor {brief(key)} of shape {tuple(value.shape)} has more numbers than "
                "the file holds for it"
            )


def _without_aliases(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for key, value in state.items():
        name = _LIST_NAME.sub(lambda m: f"scratch.layer{int(m[1]) + 1}_rn.", key)
        if name in out and not torch.equal(out[name], value):
            raise CheckpointError(f"{path}: {key} and {name} are one tensor, but differ")
        out[name] = value
    return out


def _check(path: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    missing = [key for key in expected if key not in state]
    foreign = [key for key in state if key not in expected]
    wrong = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    faults = [
        f"{len(names)} {what}: {', '.join(names[:_NAMED])}{', ...' * (len(names) > _NAMED)}"
        for what, names in (("missing", missing), ("foreign", foreign), ("of wrong shape", wrong))
        if names
    ]
    if faults:
        raise CheckpointError(f"{path} does not fit the network; tensors {'; '.join(faults)}")
