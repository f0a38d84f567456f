# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A run's state on disk: written whole or not at all, so that a run survives being killed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from mast3r_ros.common.errors import UserError

_FILE = "state.pt"


class StateError(UserError, ValueError):
    """A run's state that cannot be gone on with."""


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Replace the state in `folder` by this one, in one move."""
    part = folder / f"{_FILE}.part"
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / _FILE)


def load_state(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The state in `folder`; None where a run has not saved any yet.

    Raises:
        StateError: the file is damaged.
    """
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        raise StateError(f"{path} is damaged ({error}); remove it to begin the run anew") from error
    return state
