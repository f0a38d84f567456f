# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Mutations of bytes, and the rule for what reads them: a result, or a clear error."""

import os
import resource
import struct
import time

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from untraced import untraced

from mast3r_ros.common.errors import UserError

COUNT = int(os.environ.get("MAST3R_ROS_FUZZ", "60"))
_SECONDS, _MEGABYTES = 20.0, 700
# What damages text: numbers that are too large, too long or none, and structures without end.
_SPLICES = [
    b"nan", b"inf", b"-1", b"0", b"1e308", b"9" * 25, b"-9223372036854775809", b"1e999999999",
    b"[" * 400, b"{", b"&a [*a]", b"*a", b"!!python/object:os.system", b"\xff\xfe", b"\0", b"",
    b"99999999", b": ", b"\n- ", b"---\n", b"4294967295", b"~", b"'", b"%YAML:1.0\n",
    b"\xff" * 8, struct.pack("<I", 2**31), struct.pack(">I", 2**32 - 1), struct.pack("<Q", 2**62),
]  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "splice", "replace", "cut", "repeat", "drop"]),
        st.floats(0, 1),
        st.integers(0, 255),
        st.sampled_from(_SPLICES),
    ),
    min_size=1,
    max_size=4,
)


def mutated(data: bytes, edits: list[tuple[str, float, int, bytes]]) -> bytes:
    """The data after edits."""
    for kind, where, value, splice in edits:
        at = int(where * len(data))
        if kind == "flip":
            data = data[:at] + bytes([value]) + data[at + 1 :]
        elif kind == "splice":
            data = data[:at] + splice + data[at:]
        elif kind == "replace":
            data = data[:at] + splice + data[at + len(splice) :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "repeat":
            data = data[: at + value] + data[at:]
        else:
            data = data[:at] + data[at + value :]
    return data


def fuzz(name, inputs, read) -> None:
    """Try `COUNT` inputs, print a line of figures, and check them.

    Args:
        name: of the reader.
        inputs: a strategy.
        read: called with each input; may raise UserError.
    """
    figures = {"told": 0, "longest": 0, "slowest": 0.0, "inputs": 0}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @settings(
        max_examples=COUNT,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def run(one):
        started = time.process_time()
        try:
            read(one)
        except UserError as error:
            figures["told"] += 1
            figures["longest"] = max(figures["longest"], len(str(error)))
        figures["inputs"] += 1
        figures["slowest"] = max(figures["slowest"], time.process_time() - started)

    started = time.process_time()
    untraced(run)()  # longer than the readers take; other tests read the same lines

    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"\n{name}: {figures['inputs']} inputs, {figures['told']} told, 0 crashes, "
        f"{time.process_time() - started:.1f} s, slowest {figures['slowest']:.2f} s, "
        f"peak memory +{grown:.0f} MB"
    )
    assert figures["inputs"] >= min(COUNT, 20)
    assert figures["longest"] < 2000
    assert figures["slowest"] < _SECONDS
    assert grown < _MEGABYTES
