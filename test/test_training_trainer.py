# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The training loop: it learns, it goes on after a kill, and it can be shared by processes."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from PIL import Image
from training_pairs import RECIPE, SMALL, SyntheticSource, make_pair
from typer.testing import CliRunner
from untraced import untraced_environment

from mast3r_ros.cli.app import app
from mast3r_ros.network.checkpoint import load_checkpoint
from mast3r_ros.training import data
from mast3r_ros.training.objective import Objective
from mast3r_ros.training.recipes import RECIPES, Stage
from mast3r_ros.training.start import new_network
from mast3r_ros.training.state import StateError, save_state
from mast3r_ros.training.trainer import WEIGHTS, Trainer

# The largest that each may become in the package, in half precision [bytes].
LIMITS = {"nano": 8e6, "nano-continued": 8e6, "tiny": 60e6}


@pytest.fixture(autouse=True)
def _no_renderer(monkeypatch):
    monkeypatch.setattr(data, "PairSource", SyntheticSource)
    # The source has no more pairs that differ.
    monkeypatch.setattr("mast3r_ros.training.trainer._HELD_OUT", 8)


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small only wait for a second one, for minutes where cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _trainer(folder, recipe=RECIPE, **more):
    return Trainer(recipe, folder, seed=1, workers=0, **more)


def _weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


@pytest.mark.slow
@pytest.mark.no_cover
def test_four_pairs_are_learned_by_heart(tmp_path, monkeypatch):
    class Four(SyntheticSource):
        def pair(self, index, portrait=False):
            return super().pair(index % 4, portrait)

    monkeypatch.setattr(data, "PairSource", Four)
    figures = []
    recipe = replace(RECIPE, steps=150, learning_rate=4e-3, warm_up=15, ema=0.85, weight_decay=0.0)
    trainer = _trainer(tmp_path, recipe, listener=lambda step, f: figures.append(f))
    trainer.run(save_every=1000, validate_every=1000)
    first, last = figures[0], figures[149]
    assert last["points/reference"] < 0.1 * first["points/reference"]
    assert last["points/query"] < 0.15 * first["points/query"]
    assert last["match/loss"] < 0.15 * first["match/loss"]
    (held_out,) = (f for f in figures if "held-out/match error" in f)
    assert held_out["held-out/depth error"] < 0.03
    assert held_out["held-out/match error"] < 2.5


def test_a_stopped_run_ends_where_an_unbroken_one_does(tmp_path):
    whole = _trainer(tmp_path / "whole")
    whole.run()
    for until in (2, 3, 6):
        parts = _trainer(tmp_path / "parts")
        parts.run(until=until)
    assert parts.step == whole.step == 6
    torch.testing.assert_close(_weights(parts), _weights(whole))
    kept = [load_checkpoint(tmp_path / name / WEIGHTS).state_dict() for name in ("whole", "parts")]
    torch.testing.assert_close(*kept)
    curve = (tmp_path / "parts" / "curve.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in curve] == [2, 3, 6]


def test_what_is_kept_is_half_precise_and_averaged(tmp_path):
    trainer = _trainer(tmp_path)
    trainer.run()
    kept = load_checkpoint(tmp_path / WEIGHTS)
    assert kept.config == SMALL
    torch.testing.assert_close(
        kept.state_dict(), trainer.averaged.state_dict(), rtol=1e-3, atol=1e-3
    )
    assert not torch.equal(kept.enc_norm.weight, trainer.model.enc_norm.weight)


def test_a_run_of_something_else_is_refused(tmp_path):
    _trainer(tmp_path).run(until=1)
    with pytest.raises(StateError, match="give another folder"):
        _trainer(tmp_path, replace(RECIPE, config=replace(SMALL, decoder_depth=1)))


def test_a_damaged_state_is_told_apart_from_none(tmp_path):
    _trainer(tmp_path).run(until=1)
    path = tmp_path / "state.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(StateError, match="damaged"):
        _trainer(tmp_path)


def test_a_state_half_written_leaves_the_last_one(tmp_path, monkeypatch):
    save_state(tmp_path, {"step": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_state(tmp_path, {"step": 2})
    assert torch.load(tmp_path / "state.pt") == {"step": 1}


def test_more_steps_may_be_asked_for_later(tmp_path):
    _trainer(tmp_path).run()
    longer = _trainer(tmp_path, replace(RECIPE, steps=8))
    assert longer.step == 6
    longer.run()
    assert longer.step == 8


def test_a_run_may_begin_with_weights_and_goes_on_with_its_own(tmp_path):
    _trainer(tmp_path / "first").run()
    weights = tmp_path / "first" / WEIGHTS
    second = _trainer(tmp_path / "second", weights=weights)
    assert second.step == 0
    given = load_checkpoint(weights).state_dict()
    for kept in (second.model, second.averaged):
        assert all(torch.equal(value, given[key]) for key, value in kept.state_dict().items())
    second.run(validate_every=100)
    curve = (tmp_path / "second" / "curve.jsonl").read_text().splitlines()
    # What the weights could do before comes first.
    assert [json.loads(line)["step"] for line in curve] == [0, RECIPE.steps]
    again = _trainer(tmp_path / "second", weights=weights)
    assert again.step == RECIPE.steps
    assert torch.equal(_weights(again), _weights(second))


def test_weights_of_another_network_are_refused(tmp_path):
    _trainer(tmp_path / "first").run()
    other = replace(
        RECIPE, config=replace(RECIPE.config, encoder_depth=RECIPE.config.encoder_depth + 1)
    )
    with pytest.raises(StateError, match="weights of the same recipe"):
        _trainer(tmp_path / "second", other, weights=tmp_path / "first" / WEIGHTS)


def test_a_gradient_that_is_not_finite_stops_the_run_and_keeps_its_state(tmp_path, monkeypatch):
    _trainer(tmp_path).run(until=2)
    before = (tmp_path / "state.pt").read_bytes()
    trainer = _trainer(tmp_path)
    with torch.no_grad():
        trainer.model.enc_norm.weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="step 2"):
        trainer.run()
    assert (tmp_path / "state.pt").read_bytes() == before


def test_batches_are_the_same_whoever_reads_them():
    recipe = replace(RECIPE, portrait=0.5)
    alone = list(data.PairNumbers(recipe, 3, 0))
    shared = [list(data.PairNumbers(recipe, 3, 0, rank, 2)) for rank in range(2)]
    assert [a + b for a, b in zip(*shared, strict=True)] == alone
    assert list(data.PairNumbers(recipe, 3, 2)) == alone[2:]
    assert len({upright for batch in alone for _, upright in batch}) == 2
    with pytest.raises(ValueError, match="cannot be shared"):
        data.PairNumbers(recipe, 3, 0, 0, 3)


def test_the_curriculum_changes_at_its_numbers():
    recipe = replace(RECIPE, curriculum=(Stage(0, 0.5, 0.0), Stage(10, 0.2, 1.0)))
    assert [recipe.stage(n).min_overlap for n in (0, 9, 10, 999)] == [0.5, 0.5, 0.2, 0.2]


def test_versions_of_the_worlds_take_turns(monkeypatch):
    class Told:
        def __init__(self, *arguments, version, **options):
            self.version = version

        def pair(self, index, portrait):
            return self.version, index, portrait

    monkeypatch.setattr(data, "PairSource", Told)
    pairs = data.Pairs(replace(RECIPE, worlds=(1, 2)), seed=0)

    assert [pairs[n, n == 3] for n in range(4)] == [
        (1, 0, False),
        (2, 0, False),
        (1, 1, False),
        (2, 1, True),
    ]
    assert data.Pairs(pairs.recipe, 0, "held-out", (2,))[3, False] == (2, 3, False)


def test_a_run_begins_with_smaller_images_where_its_curriculum_says_so(tmp_path, monkeypatch):
    stages = (Stage(0, 0.15, 1.0, image_size=32), Stage(2 * RECIPE.batch, 0.15, 1.0))
    trainer = _trainer(tmp_path, replace(RECIPE, curriculum=stages))
    seen, step = [], trainer._step
    monkeypatch.setattr(
        trainer,
        "_step",
        lambda objective, batch, *more: (
            seen.append(tuple(batch.images.shape[-2:])),
            step(objective, batch, *more),
        )[1],
    )
    trainer.run()
    assert seen == [(24, 32)] * 2 + [(48, 64)] * (RECIPE.steps - 2)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_stages_begin_with_a_batch_and_fit_the_patches(recipe):
    for stage in recipe.curriculum:
        assert stage.first % recipe.batch == 0
        assert all(side % recipe.config.patch_size == 0 for side in recipe.size(stage))
    assert recipe.curriculum[-1].image_size in (0, recipe.config.image_size)


@pytest.mark.parametrize("name", list(RECIPES))
def test_recipes_can_be_trained_and_fit_their_limits(name):
    recipe = RECIPES[name]
    model = new_network(recipe.config, 0)
    assert 2 * sum(p.numel() for p in model.state_dict().values()) < LIMITS[name]
    some = data.collate([make_pair(0, side=recipe.config.image_size)])
    parts = Objective(model, recipe)(some, torch.Generator().manual_seed(0))
    parts["loss"].backward()
    assert torch.isfinite(
        torch.nn.utils.get_total_norm(p.grad for p in model.parameters() if p.grad is not None)
    )


_CHILD = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
import torch.distributed as dist
from mast3r_ros.training import data, trainer
from training_pairs import RECIPE, SyntheticSource
data.PairSource = SyntheticSource
trainer._HELD_OUT = 8
torch.set_num_threads(1)
folder, steps = Path(sys.argv[2]), int(sys.argv[3])
if len(sys.argv) > 4:
    dist.init_process_group("gloo", init_method=sys.argv[4], rank=0, world_size=2)
run = trainer.Trainer(replace(RECIPE, steps=steps), folder, seed=1, workers=0)
run.run(save_every=1, validate_every=1000)
if dist.is_initialized():
    weights = torch.cat([p.detach().flatten() for p in run.model.parameters()])
    torch.save(weights, folder / "weights.pt")
    dist.destroy_process_group()
"""


def _child(folder, steps, *group):
    """A process that trains, alone or as the first of two; this one runs the same lines."""
    here = Path(__file__).parent
    command = [sys.executable, "-c", _CHILD, *map(str, (here, folder, steps, *group))]
    return subprocess.Popen(command, env=untraced_environment())


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path):
    process = _child(tmp_path, 100_000)
    try:
        while not (tmp_path / "state.pt").is_file() and process.poll() is None:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    after = _trainer(tmp_path)
    assert after.step >= 1
    after.recipe = replace(RECIPE, steps=after.step + 1)
    after.run()


@pytest.mark.slow
def test_processes_that_share_a_run_stay_alike(tmp_path):
    folder, group = tmp_path / "run", f"file://{tmp_path / 'group'}"
    process = _child(folder, 3, group)
    try:
        dist.init_process_group("gloo", init_method=group, rank=1, world_size=2)
        one = _trainer(folder, replace(RECIPE, steps=3))
        one.run(save_every=1, validate_every=1000)
        dist.destroy_process_group()
    finally:
        if dist.is_initialized():
            process.kill()
            dist.destroy_process_group()
        status = process.wait()
    assert status == 0
    # Each had its own half of the batches: alike they are only if both halves moved both.
    assert torch.equal(_weights(one), torch.load(folder / "weights.pt"))
    assert not torch.equal(_weights(one), _weights(_trainer(tmp_path / "none")))
    assert _trainer(folder).step == 3


def test_the_command_line_trains_and_goes_on(tmp_path, monkeypatch):
    from mast3r_ros.training import run

    monkeypatch.setitem(run.RECIPES, "nano", RECIPE)
    words = ["train", "nano", "--out", str(tmp_path), "--workers", "0", "--device", "cpu"]
    for until in ("2", "4"):
        result = CliRunner().invoke(app, [*words, "--until", until, "--validate-every", "2"])
        assert result.exit_code == 0, result.output
    assert (tmp_path / WEIGHTS).is_file()
    assert Image.open(tmp_path / "samples.png").size == (2 * 4 * 64, 2 * 6 * 48)
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 2
    steps = [json.loads(line)["step"] for line in (tmp_path / "curve.jsonl").open()]
    assert steps == [2, 4]
    unknown = CliRunner().invoke(app, ["train", "huge", "--out", str(tmp_path)])
    assert isinstance(unknown.exception, run.RecipeError)


def test_the_bench_tells_whether_it_learns(monkeypatch, capsys):
    from bench import training

    monkeypatch.setitem(training.RECIPES, "nano", RECIPE)
    assert training.run("nano", "cpu", 40)
    assert "pairs/s" in capsys.readouterr().out
