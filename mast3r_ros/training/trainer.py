# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The training loop: resumable at any kill, on one process or on many."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mast3r_ros.network.checkpoint import load_checkpoint, save_checkpoint
from mast3r_ros.network.mast3r import MAST3R
from mast3r_ros.training.data import PairNumbers, loader
from mast3r_ros.training.ground_truth import Batch
from mast3r_ros.training.objective import Objective
from mast3r_ros.training.pictures import draw
from mast3r_ros.training.recipes import Recipe
from mast3r_ros.training.schedule import learning_rate
from mast3r_ros.training.start import new_network
from mast3r_ros.training.state import StateError, load_state, save_state
from mast3r_ros.training.validation import held_out, measure
from mast3r_ros.training.worlds.textures import VERSIONS

WEIGHTS = "weights.safetensors"
_CURVE = "curve.jsonl"
_HELD_OUT = 128  # pairs of a validation

Listener = Callable[[int, dict[str, float]], None]


class Trainer:
    """Trains a recipe in a folder, from where the last run in it was stopped.

    Args:
        recipe: what is trained. Its `steps` may change from run to run; its network may not.
        folder: of the run; holds its state, its weights and its curve.
        seed: of the weights, the worlds and the pixels drawn.
        workers: processes that render; 0 renders between the steps.
        device: "cpu", "cuda" or "cuda:N".
        listener: told of each step's figures, and of each validation's.
        pictures: given each validation's picture, (H, W, 3) uint8 RGB.
        weights: file that a new run begins with, in place of random weights.

    Raises:
        StateError: the folder's state is damaged, or of another network or seed; or `weights` are
            of another network.
        CheckpointError: `weights` is damaged.
        FileNotFoundError: there is no such file.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        seed: int = 0,
        workers: int = 1,
        device: str = "cpu",
        listener: Listener | None = None,
        pictures: Callable[[int, NDArray[np.uint8]], None] | None = None,
        weights: Path | None = None,
    ) -> None:
        self.recipe, self.folder, self.seed, self.workers = recipe, folder, seed, workers
        self.device = torch.device(device)
        self.listener = listener or (lambda step, figures: None)
        self.pictures = pictures or (lambda step, picture: None)
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.world = dist.get_world_size() if dist.is_initialized() else 1
        folder.mkdir(parents=True, exist_ok=True)
        self.model = new_network(recipe.config, seed).to(self.device)
        state = load_state(folder, self.device)
        self._continues = weights is not None
        if weights is not None and state is None:
            self._begin_with(weights)
        self.average = AveragedModel(
            self.model,
            multi_avg_fn=get_ema_multi_avg_fn(recipe.ema),  # type: ignore[no-untyped-call]
        )
        self.optimizer = torch.optim.AdamW(
            self._groups(), lr=0.0, betas=(0.9, 0.95), weight_decay=recipe.weight_decay, fused=True
        )
        self.step = 0
        self.seconds = 0.0
        if state is not None:
            self._resume(state)
        self._batches: dict[int, list[Batch]] = {}

    @property
    def averaged(self) -> MAST3R:
        """The network that is kept: the average of the weights over the last steps."""
        model = self.average.module
        assert isinstance(model, MAST3R)
        return model.eval()

    def run(
        self, save_every: int = 200, validate_every: int = 500, until: int | None = None
    ) -> None:
        """Train to the recipe's end, or to step `until`.

        Args:
            save_every: steps between two states on disk: what a kill may cost.
            validate_every: steps between two looks at held-out rooms.
            until: stop (and save) after this step.
        """
        end = min(self.recipe.steps, until or self.recipe.steps)
        numbers = PairNumbers(self.recipe, self.seed, self.step, self.rank, self.world)
        objective: torch.nn.Module = Objective(self.model, self.recipe)
        if self.world > 1:
            # The points' heads and the unused mask token have their own say each step.
            objective = DistributedDataParallel(objective, find_unused_parameters=True)
        generator = torch.Generator(self.device)
        before = time.monotonic()
        if self.step >= end:
            return
        if self._continues and not self.step:
            # The curve begins with what the weights could do before.
            self._validate()
            before = time.monotonic()
        for batch in loader(self.recipe, self.seed, numbers, self.workers):
            generator.manual_seed((self.seed << 32) + self.step * self.world + self.rank)
            figures = self._step(objective, batch.to(self.device), generator)
            now = time.monotonic()
            self.seconds, before = self.seconds + now - before, now
            self.listener(self.step, figures)
            if self.step % validate_every == 0 or self.step == end:
                self._validate()
                before = time.monotonic()
            if self.step % save_every == 0 or self.step == end:
                self._save()
            if self.step >= end:
                break

    def _step(
        self, objective: torch.nn.Module, batch: Batch, generator: torch.Generator
    ) -> dict[str, float]:
        rate = learning_rate(
            self.step, self.recipe.steps, self.recipe.learning_rate, self.recipe.warm_up
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # Products in bfloat16, everything else as it stands: its range is that of float32.
        with torch.autocast(self.device.type, torch.bfloat16):
            parts: dict[str, Tensor] = objective(batch, generator)
        self.optimizer.zero_grad(set_to_none=True)
        parts["loss"].backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"step {self.step}: the gradient is not finite (loss {parts['loss']}); begin again "
                "from the last state with a lower learning rate"
            )
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self.step += 1
        figures = {name: float(value.detach()) for name, value in parts.items()}
        return {**figures, "gradient": float(norm), "rate": rate}

    def _validate(self) -> None:
        if self.rank:
            return
        figures = {}
        for version in VERSIONS:
            if version not in self._batches:
                self._batches[version] = held_out(self.recipe, self.seed, _HELD_OUT, version)
            found = measure(self.averaged, self._batches[version], self.device)
            label = "" if version == 1 else f" ({version})"
            figures.update({f"{name}{label}": value for name, value in found.items()})
        pairs = self.step * self.recipe.batch
        line = {"step": self.step, "pairs": pairs, "minutes": self.seconds / 60, **figures}
        with (self.folder / _CURVE).open("a") as file:
            file.write(json.dumps({k: round(v, 5) for k, v in line.items()}) + "\n")
        self.listener(self.step, {f"held-out/{name}": value for name, value in figures.items()})
        self.pictures(
            self.step, draw(self.averaged, self._batches[self.recipe.worlds[-1]][0].to(self.device))
        )

    def _save(self) -> None:
        if self.rank:
            return
        state = {
            "about": self._about(),
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        save_state(self.folder, state)
        part = self.folder / f"part-{WEIGHTS}"
        save_checkpoint(self.averaged, part, half=True)
        os.replace(part, self.folder / WEIGHTS)

    def _resume(self, state: dict[str, Any]) -> None:
        if state["about"] != self._about():
            raise StateError(
                f"{self.folder} holds a run of {state['about']}, not of {self._about()}; give "
                "another folder"
            )
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def _begin_with(self, weights: Path) -> None:
        """Take the weights of a file of the same network."""
        found = load_checkpoint(weights)
        if found.config != self.recipe.config:
            raise StateError(
                f"{weights} holds a network of {found.config}, not of {self.recipe.config}; give "
                "the weights of the same recipe"
            )
        self.model.load_state_dict(found.state_dict())

    def _about(self) -> str:
        """What may not change within a run."""
        return json.dumps({"seed": self.seed, "config": asdict(self.recipe.config)})

    def _groups(self) -> list[dict[str, Any]]:
        """Weights decay; biases, norms and the token that no pass uses do not."""
        parameters = [p for p in self.model.parameters() if p is not self.model.mask_token]
        return [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
