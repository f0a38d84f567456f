# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The check that ends a build names what drifted."""

import numpy as np
import pytest
import torch
from network_reference import random_network

from mast3r_ros.engines.parity import (
    TOLERANCES,
    Measure,
    ParityError,
    compare,
    require,
    run_pairs,
)
from mast3r_ros.engines.torch_engine import TorchEngine

SIZE = (32, 48)


def pairs(count: int = 2) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    values = rng.uniform(-1, 1, (count, 2, 3, *SIZE)).astype(np.float32)
    return [(a, b) for a, b in values]


def measures(engine: TorchEngine) -> dict[str, Measure]:
    exact = run_pairs(TorchEngine(random_network()), pairs())
    found = compare(run_pairs(engine, pairs()), exact, TOLERANCES[engine.precision])
    return {measure.output: measure for measure in found}


def test_the_same_network_passes_with_nothing_to_spare() -> None:
    found = measures(TorchEngine(random_network()))
    assert len(found) == 7
    assert found["matches"].value == 1
    assert found["reference points"].value == 0
    assert found["query descriptors"].value == pytest.approx(1)
    require(list(found.values()))


def test_another_network_is_refused_with_every_output_named() -> None:
    found = measures(TorchEngine(random_network(seed=5)))
    with pytest.raises(ParityError) as caught:
        require(list(found.values()))
    for output in ("reference descriptors", "reference points", "matches"):
        assert output in str(caught.value)


@pytest.mark.parametrize(
    ("parameter", "output"),
    [
        ("downstream_head1.dpt.head.4.bias", "reference points"),
        ("downstream_head2.head_local_features.fc2.bias", "query descriptors"),
    ],
)
def test_one_drifted_output_is_named_alone(parameter: str, output: str) -> None:
    model = random_network()
    model.get_parameter(parameter)[:3] += 0.3
    with pytest.raises(ParityError) as caught:
        require(list(measures(TorchEngine(model)).values()))
    assert output in str(caught.value)
    other = "query descriptors" if output == "reference points" else "reference points"
    assert other not in str(caught.value)


def test_nan_is_drift() -> None:
    model = random_network()
    model.downstream_head2.head_local_features.fc2.bias[0] = torch.nan
    found = measures(TorchEngine(model))
    assert not found["query descriptors"].good
    assert not found["matches"].good
    assert found["reference points"].good


def test_the_worst_pair_counts() -> None:
    engine, exact = TorchEngine(random_network()), TorchEngine(random_network(seed=1))
    mine, theirs = run_pairs(engine, pairs()), run_pairs(exact, pairs())
    together = compare(mine, theirs, TOLERANCES["fp32"])
    alone = [compare([a], [b], TOLERANCES["fp32"]) for a, b in zip(mine, theirs, strict=True)]
    for i, measure in enumerate(together):
        values = [some[i].value for some in alone]
        assert measure.value == (min(values) if measure.at_least else max(values))


def test_no_images_is_an_error() -> None:
    with pytest.raises(ValueError, match="no image pairs"):
        compare([], [], TOLERANCES["fp32"])


def test_the_last_of_a_batch_is_judged() -> None:
    engine = TorchEngine(random_network(), batch=3)
    (alone,), (together,) = (run_pairs(engine, pairs(1), batch) for batch in (1, 3))
    require(compare([together], [alone], TOLERANCES["fp32"]))


def test_half_precision_is_judged_by_its_own_limits() -> None:
    found = measures(TorchEngine(random_network(), precision="bf16"))
    assert found["reference points"].limit == TOLERANCES["bf16"].log_points
    assert "reference points" in str(found["reference points"])
