# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Options outside their limits are named."""

from dataclasses import dataclass, fields

import numpy as np
import pytest

from mast3r_ros.common.options import check, option
from mast3r_ros.localization.options import RelocalizerOptions


@dataclass(frozen=True)
class _Some:
    count: int = option(3, "How many", 1, 10)
    low: float = option(0.0, "Not less", minimum=-1.0)
    high: float = option(0.0, "Not more", maximum=1.0)
    color: str = option("red", "Which", choices=("red", "blue"))
    free: str = option("", "Anything", read_only=True)


@pytest.mark.parametrize("entry", fields(RelocalizerOptions), ids=lambda entry: entry.name)
def test_every_option_has_a_text_and_a_default_within_its_limits(entry):
    about = entry.metadata

    assert about["text"]
    for limit in ("minimum", "maximum"):
        if about[limit] is not None:
            RelocalizerOptions(**{entry.name: type(entry.default)(about[limit])})
            outside = about[limit] + (1 if limit == "maximum" else -1)
            with pytest.raises(ValueError, match=rf"{entry.name} = .*must lie in"):
                RelocalizerOptions(**{entry.name: outside})


def test_options_at_their_limits_pass():
    check(_Some(count=1, low=-1.0, high=1.0, color="blue", free="x"))
    check(_Some(count=10, low=1e9, high=-1e9))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 0}, r"count = 0: must lie in \[1, 10\]"),
        ({"count": 11}, "count = 11"),
        ({"low": -1.1}, "low = -1.1"),
        ({"high": 1.1}, "high = 1.1"),
        ({"low": np.nan}, "low = nan"),
        ({"high": np.nan}, "high = nan"),
        ({"color": "green"}, "color = 'green': choose one of red, blue"),
    ],
)
def test_options_outside_are_named(change, said):
    with pytest.raises(ValueError, match=said):
        check(_Some(**change))
