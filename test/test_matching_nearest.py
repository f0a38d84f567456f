# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Nearest descriptors: exact, the same bits everywhere, and clear about what cannot be matched."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matching_fields import brute_force, field, unit
from numpy.typing import NDArray

from mast3r_ros.matching import Database, _nearest, nearest, nearest2
from mast3r_ros.matching.nearest import Backend
from mast3r_ros.matching.nearest_numpy import at_least, canonical_scores

BACKENDS: tuple[Backend, ...] = ("cpp", "numpy")
both = pytest.mark.parametrize("backend", BACKENDS)


def _cases() -> st.SearchStrategy[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Queries (Q, D) and an image (H, W, D): noise, a smooth field, few values (ties), scales."""

    def make(
        seed: int, queries: int, height: int, width: int, channels: int, kind: str
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        smooth = 3.0 if kind == "smooth" else 0.0
        image = field(seed, height, width, channels, smooth)
        some = field(seed + 1, queries, 1, channels)[:, 0]
        if kind == "ties":
            image, some = (np.round(array * 2).astype(np.float32) for array in (image, some))
        if kind == "scales":
            image *= 10.0 ** np.random.default_rng(seed).uniform(-3, 3, (height, width, 1))
        return some, image.astype(np.float32)

    return st.builds(
        make,
        st.integers(0, 2**32 - 2),
        st.integers(1, 50),
        st.integers(1, 40),
        st.integers(1, 40),
        st.sampled_from([1, 2, 3, 7, 24, 31, 64, 65, 128]),
        st.sampled_from(["noise", "smooth", "ties", "scales"]),
    )


@both
@settings(deadline=None)
@given(case=_cases())
def test_the_best_is_that_of_brute_force_in_float64(
    backend: Backend, case: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    queries, image = case
    rows = image.reshape(-1, image.shape[-1])
    index, score = nearest(queries, Database(image, backend=backend))
    best, scores = brute_force(queries, rows)
    lost = scores.max(axis=1) - scores[np.arange(len(queries)), index]
    norms = np.linalg.norm(queries, axis=1) * np.linalg.norm(rows, axis=1).max()
    assert (lost <= 1e-6 * np.maximum(norms, 1.0)).all()
    np.testing.assert_array_equal(
        score, canonical_scores(queries, rows, np.arange(len(queries)), index)
    )
    if (rows == np.round(rows)).all() and (queries == np.round(queries)).all():  # no rounding
        np.testing.assert_array_equal(index, best)


@settings(deadline=None)
@given(case=_cases(), image_known=st.booleans(), threads=st.sampled_from([1, 2, 8]))
def test_every_instruction_set_gives_the_same_bits_pruned_or_not(
    case: tuple[NDArray[np.float32], NDArray[np.float32]], image_known: bool, threads: int
) -> None:
    queries, image = case
    rows = image.reshape(-1, image.shape[-1])
    expected = Database(rows, backend="numpy").search(queries, threads=1, second=True)
    height, width = image.shape[:2] if image_known else (0, 0)
    for name in _nearest.instruction_sets():
        index = _nearest.Index(
            rows, height=height, width=width, threads=threads, instruction_set=name
        )
        for prune in (False, True):
            answer = index.nearest(queries, threads=threads, second=True, prune=prune)
            for mine, theirs in zip(answer, expected, strict=True):
                np.testing.assert_array_equal(mine, theirs, err_msg=f"{name}, prune={prune}")
            alone = index.nearest(queries, threads=threads, second=False, prune=prune)
            np.testing.assert_array_equal(alone[0], expected[0])
            np.testing.assert_array_equal(alone[1], expected[1])
            # One of the scores itself: it is just enough.
            least = float(np.sort(expected[1])[len(queries) // 2])
            some = index.nearest(queries, threads=threads, second=False, prune=prune, least=least)
            for mine, theirs in zip(some, at_least(*expected[:2], least), strict=False):
                np.testing.assert_array_equal(mine, theirs, err_msg=f"{name}, prune={prune}")


_FAR = 1e12  # from a tenth of it to ten times it: what one byte then stands for hides the rest


@pytest.mark.parametrize("kind", ["noise", "smooth 2", "smooth 8", "scales", "equal", "tiny"])
def test_whole_images_give_the_same_whatever_searches_them(kind: str) -> None:
    smooth = float(kind.split()[1]) if kind.startswith("smooth") else 0.0
    image = field(1, 120, 161, smooth=smooth)
    queries = field(2, 120, 161, smooth=smooth).reshape(-1, 24)[::60].copy()
    if kind == "scales":
        random = np.random.default_rng(3)
        image *= random.uniform(-1, 1, (120, 161, 1)) ** 5 * _FAR
        queries *= np.geomspace(1, 1e-5, 24)
    if kind == "equal":
        image[:] = image[0, 0]
    if kind == "tiny":
        image *= 1e-35
    rows = image.reshape(-1, 24).astype(np.float32)
    queries = queries.astype(np.float32)
    expected = None
    for name in _nearest.instruction_sets():
        index = _nearest.Index(rows, height=120, width=161, threads=2, instruction_set=name)
        for threads, prune in ((1, False), (1, True), (2, True), (8, True)):
            answer = index.nearest(queries, threads=threads, second=True, prune=prune)
            expected = expected or answer
            for mine, theirs in zip(answer, expected, strict=True):
                np.testing.assert_array_equal(mine, theirs, err_msg=f"{name}, {threads}, {prune}")


@both
@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 2))
def test_a_permutation_of_the_database_permutes_the_answer(backend: Backend, seed: int) -> None:
    rows, queries = field(seed, 300, 1)[:, 0], field(seed + 1, 20, 1)[:, 0]
    order = np.random.default_rng(seed).permutation(len(rows))
    index, score = nearest(queries, Database(rows, backend=backend))
    permuted, same_score = nearest(queries, Database(rows[order], backend=backend))
    np.testing.assert_array_equal(order[permuted], index)
    np.testing.assert_array_equal(same_score, score)


@both
def test_the_first_of_equal_rows_wins_wherever_they_lie(backend: Backend) -> None:
    image = field(3, 40, 56)
    rows = image.reshape(-1, 24)
    rows[1000:1200] = rows[17]
    rows[2000] = rows[900]
    for database in (Database(image, backend=backend), Database(rows, backend=backend)):
        np.testing.assert_array_equal(nearest(rows[[1100, 2000]], database)[0], [17, 900])
        np.testing.assert_array_equal(nearest(np.zeros((3, 24)), database)[0], [0, 0, 0])


@both
def test_second_best_is_of_another_row(backend: Backend) -> None:
    rows = field(4, 77, 1, 64)[:, 0]
    queries = field(5, 30, 1, 64)[:, 0]
    index, score, second = nearest2(queries, Database(rows, backend=backend))
    _, scores = brute_force(queries, rows)
    np.testing.assert_allclose(second, np.sort(scores, axis=1)[:, -2], atol=1e-6)
    assert (second <= score).all()
    twice = nearest2(queries, Database(np.concatenate([rows, rows]), backend=backend))
    np.testing.assert_array_equal(twice[2], score)  # the best row's double
    np.testing.assert_array_equal(twice[0], index)
    alone = nearest2(queries, Database(rows[:1], backend=backend))
    np.testing.assert_array_equal(alone[2], np.full(30, -np.inf))


@both
def test_empty_sides(backend: Backend) -> None:
    index, score = nearest(np.zeros((0, 24)), Database(np.zeros((0, 24)), backend=backend))
    assert index.shape == score.shape == (0,)
    assert index.dtype == np.int64
    assert score.dtype == np.float32
    with pytest.raises(ValueError, match="database: empty"):
        nearest(np.zeros((1, 24)), Database(np.zeros((0, 24)), backend=backend))
    with pytest.raises(ValueError, match="database: empty"):
        nearest(np.zeros((1, 24)), Database(np.zeros((0, 5, 24)), backend=backend))


@both
@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "NaN or inf"), (-np.inf, "NaN or inf"), (2e18, "norm above 1e18")]
)
def test_what_has_no_score_is_refused_by_row(backend: Backend, value: float, what: str) -> None:
    good = field(6, 20, 20).reshape(-1, 24)
    bad = good.copy()
    bad[123, 5] = value
    with pytest.raises(ValueError, match=f"descriptors: .*{what} in row 123"):
        Database(bad, backend=backend)
    with pytest.raises(ValueError, match=f"queries: .*{what} in row 123"):
        nearest(bad, Database(good, backend=backend))


@both
def test_wrong_shapes_are_refused(backend: Backend) -> None:
    for shape in ((5,), (5, 0), (2, 3, 4, 5)):
        with pytest.raises(ValueError, match="descriptors: shape"):
            Database(np.zeros(shape), backend=backend)
    with pytest.raises(ValueError, match=r"queries: shape \(2, 23\); the database needs \(Q, 24\)"):
        nearest(np.zeros((2, 23)), Database(np.zeros((3, 24)), backend=backend))
    with pytest.raises(ValueError, match="threads: -1"):
        nearest(np.zeros((2, 24)), Database(np.zeros((3, 24))), threads=-1)
    with pytest.raises(ValueError, match="backend: 'gpu'"):
        Database(np.zeros((3, 24)), backend="gpu")  # type: ignore[arg-type]


@both
def test_any_layout_of_memory_will_do(backend: Backend) -> None:
    image, queries = field(7, 33, 45), field(8, 50, 1)[:, 0]
    expected = nearest(queries, Database(image, backend=backend))
    odd = np.zeros(queries.size * 4 + 1, np.uint8)[1:].view(np.float32).reshape(queries.shape)
    odd[:] = queries
    assert not odd.flags.aligned
    wide = np.zeros((33, 45, 50), np.float32)
    wide[:, :, 1:49:2] = image
    read_only = queries.copy()
    read_only.flags.writeable = False
    for other_image, other_queries in (
        (np.asfortranarray(image), np.asfortranarray(queries)),
        (wide[:, :, 1:49:2], odd),
        (image.astype(np.float64), queries.astype(np.float64)),
        (image[::-1][::-1], read_only),
    ):
        answer = nearest(other_queries, Database(other_image, backend=backend))
        np.testing.assert_array_equal(answer[0], expected[0])
        np.testing.assert_array_equal(answer[1], expected[1])


def test_the_pixels_of_an_odd_image_keep_their_flat_indices() -> None:
    image = field(9, 13, 21)
    np.testing.assert_array_equal(
        nearest(image.reshape(-1, 24), Database(image))[0], np.arange(13 * 21)
    )


def test_a_search_lets_other_threads_run() -> None:
    # Held for the whole search, the lock would let this thread in only before and after it.
    database = Database(field(10, 100, 100))
    queries = field(11, 150, 150).reshape(-1, 24)
    turns = 0
    search = threading.Thread(target=nearest, args=(queries, database))
    search.start()
    while search.is_alive():
        turns += 1
    assert turns > 100


def test_a_thousand_calls_leak_nothing() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    image, queries = field(12, 64, 64), field(13, 100, 1)[:, 0]

    def call() -> None:
        database = Database(image)
        nearest2(queries, database)
        with pytest.raises(ValueError, match="NaN"):
            nearest(np.full((1, 24), np.nan), database)

    for _ in range(50):
        call()
    before = resident()
    for _ in range(1000):
        call()
    # A leak of a database alone would be 400 MB.
    assert resident() - before < 8e6


def test_without_the_extension_numpy_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["mast3r_ros.matching.nearest"], "CompiledIndex", None)
    assert Database(np.eye(3)).backend == "numpy"
    with pytest.raises(ModuleNotFoundError, match=r"C\+\+17 compiler"):
        Database(np.eye(3), backend="cpp")


def test_an_instruction_set_that_is_not_here_is_refused() -> None:
    with pytest.raises(ValueError, match="instruction set 'mmx'"):
        _nearest.Index(unit(np.eye(3)), height=0, width=0, threads=1, instruction_set="mmx")
