# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Images are compared by visual words of their features."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from synthetic import camera_pose, view

from mast3r_ros.frontends import create
from mast3r_ros.keyframes import looks as looks_module
from mast3r_ros.keyframes import words
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.keyframes.looks import Looks
from mast3r_ros.keyframes.match_kernel import Code, Codebook, WordIndex, sample, words_of
from mast3r_ros.keyframes.retrieval import PosePrior

# A place shows so many things, each a vector of so many numbers; all vary in few directions most.
_THINGS, _NUMBERS = 60, 32
_SCALE = np.linspace(3.0, 0.2, _NUMBERS)


def places(count, seed):
    return np.random.default_rng(seed).normal(size=(count, _THINGS, _NUMBERS)) * _SCALE


def photograph(place, seed, noise=0.35, seen=40):
    """Some of a place's things, each a little different, in another order."""
    rng = np.random.default_rng(seed)
    chosen = place[rng.permutation(len(place))[:seen]]
    return chosen + noise * rng.normal(size=chosen.shape) * _SCALE


@pytest.fixture(scope="module")
def codebook():
    return Codebook.learn(sample(list(places(80, 1)), 50), bits=32, words=64)


def test_an_image_is_as_like_itself_as_can_be_and_a_stranger_hardly(codebook):
    here, there = places(2, 2)
    index = WordIndex(codebook)
    index.add(7, codebook.code(here))
    index.add(8, codebook.code(there))
    (first, same), (second, other) = index.search(codebook.code(here), 5)
    assert (first, second) == (7, 8)
    assert same == pytest.approx(1.0)
    assert other < 0.2
    assert len(index) == 2


def test_places_are_found_again_by_other_photographs_of_them(codebook):
    mapped = places(40, 3)
    index = WordIndex(codebook)
    for number, place in enumerate(mapped):
        index.add(number, codebook.code(photograph(place, number)))
    found = [
        index.search(codebook.code(photograph(place, 100 + number), query=True), 1)[0][0]
        for number, place in enumerate(mapped)
    ]
    assert np.mean(np.array(found) == np.arange(40)) >= 0.95


def bits(*rows):
    return np.array(rows, np.uint64)


def test_the_score_is_the_kernel_of_the_papers(monkeypatch):
    book = Codebook(np.zeros(8), np.eye(8), np.eye(8))
    index = WordIndex(book)
    index.add(0, Code(np.array([1, 5]), bits(0b11110000, 0b11111111)))
    index.add(1, Code(np.array([5]), bits(0b00001111)))
    index.add(2, Code(np.array([2]), bits(0b00001111)))
    # Of word 1, one of eight bits differs; of word 5 none, and four.
    query = Code(np.array([1, 5]), bits(0b11110001, 0b11111111))
    assert dict(index.search(query, 5)) == pytest.approx({0: (0.75**3 + 1.0) / 2.0})
    assert index.search(query, 5, np.array([1, 2])) == []
    # As with a NumPy that does not count bits itself.
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert dict(index.search(query, 5)) == pytest.approx({0: (0.75**3 + 1.0) / 2.0})


def test_features_of_one_word_count_once_and_bits_are_signs_of_what_they_add():
    words = np.array([[1.0] + [0.0] * 7, [-1.0] + [0.0] * 7])
    book = Codebook(np.zeros(8), np.eye(8), words)
    feature = np.array([2.0, 1.0, -1.0, 0, 0, 0, 0, 0])
    code = book.code(np.stack([feature, feature]))
    assert code.words.tolist() == [0]
    assert np.unpackbits(code.bits.view(np.uint8))[1:3].tolist() == [1, 0]
    assert len(book.code(np.zeros((0, 8))).words) == 0
    assert WordIndex(book).search(code, 3) == []


def test_a_query_of_many_features_is_thinned_evenly_and_an_image_of_the_map_is_not(codebook):
    many = np.random.default_rng(8).normal(size=(4000, _NUMBERS)) * _SCALE
    thin = many[np.linspace(0, 3999, 1500).astype(int)]
    for query, rest in ((True, thin), (False, many)):
        code, expected = codebook.code(many, query), codebook.code(rest, query)
        np.testing.assert_array_equal(code.words, expected.words)
        np.testing.assert_array_equal(code.bits, expected.bits)
    assert not np.array_equal(codebook.code(many).bits, codebook.code(thin).bits)


def test_images_come_and_go(codebook):
    mapped = places(30, 5)
    index, fresh = WordIndex(codebook), WordIndex(codebook)
    query = codebook.code(mapped[4], query=True)
    for number, place in enumerate(mapped):
        index.add(number, codebook.code(place))
        index.search(query, 3)
    for number in (0, 7, 29):
        index.remove(number)
    for number in set(range(30)) - {0, 7, 29}:
        fresh.add(number, codebook.code(mapped[number]))
    assert dict(index.search(query, 30)) == pytest.approx(dict(fresh.search(query, 30)))
    assert len(index) == 27


def test_a_code_comes_back_from_its_bytes_and_nothing_else_does(codebook):
    code = codebook.code(places(1, 6)[0])
    again = Code.unpacked(code.packed(), 64)
    np.testing.assert_array_equal(again.words, code.words)
    np.testing.assert_array_equal(again.bits, code.bits)
    for data in (code.packed()[:-1], Code(code.words[::-1], code.bits).packed()):
        with pytest.raises(ValueError, match="not the visual words"):
            Code.unpacked(data, 64)
    with pytest.raises(ValueError, match="not the visual words"):
        Code.unpacked(code.packed(), 3)


@dataclass(frozen=True)
class Photograph:
    global_descriptor: np.ndarray
    features: np.ndarray


class Seeing:
    """A front end whose images are told."""

    name, fingerprint = "seeing", "seeing-1"

    def local_features(self, description):
        return description.features


def test_looks_decide_where_words_do_not():
    mapped, whole = places(12, 4), np.eye(12, dtype=np.float32)
    looks = Looks(Seeing(), words_of(list(mapped)))
    for number in range(12):
        # The first two show the same things.
        looks.add(number, Photograph(whole[number], mapped[max(number, 1)]))
    for number in (0, 1, 5):
        query = Photograph(whole[number], photograph(mapped[max(number, 1)], number))
        found = looks.search(query, 2)
        assert found[0] == number
        assert set(found) == {0, 1} or number == 5
    assert looks.search(query, 3, np.array([2, 3])) in ([2, 3], [3, 2])
    (first, score), (_, next_score) = looks.by_words(query, 2)
    assert first == 5
    assert 1.0 >= score > 2.0 * next_score
    assert not Looks(Seeing(), None).by_words(query, 2)
    looks.remove(5)
    assert 5 not in looks.search(query, 12)


@pytest.fixture
def coded(monkeypatch):
    """Of each image that is coded, whether it is a query."""
    done, code = [], Codebook.code

    def noted(self, features, query=False):
        done.append(query)
        return code(self, features, query)

    monkeypatch.setattr(Codebook, "code", noted)
    return done


def test_images_are_coded_once_and_when_they_are_searched(coded):
    keyframes = KeyframeMap(create("sift"))
    for x in (0.0, 0.3, 2.0):
        keyframes.add(view(camera_pose(x)), camera_pose(x), triangulate=False)
    query = keyframes[1].description
    assert not coded, "keyframes with depth need no others for their points"
    derived = keyframes.derive(keyframes)
    alone = keyframes.derive([keyframes[2]])
    assert [k.id for k in alone.nearest(query, 2)] == [2]
    assert not coded
    derived.remove(2)

    found = derived.nearest(query, 1, PosePrior(camera_pose(), np.eye(6) * 1e-4))

    assert [k.id for k in found] == [1]
    assert sorted(coded) == [False, False, True]
    assert derived.by_words(query, 1)[0][1].id == 1
    assert sorted(coded) == [False, False, True]
    derived.nearest(keyframes[0].description, 1)
    assert sorted(coded) == [False, False, True, True]


def test_without_words_of_all_images_looks_alone_count(codebook, monkeypatch):
    mapped, whole = places(3, 4), np.eye(3, dtype=np.float32)
    assert Looks(object(), codebook).codebook is None
    few, many = (Looks(Seeing(), codebook) for _ in range(2))
    few.forget_words_unless([0])
    assert few.codebook is None
    monkeypatch.setattr(looks_module, "EXACT", 2)
    for number in range(3):
        many.add(number, Photograph(whole[number], mapped[number]))
        assert (many.codebook is None) == (number == 2)
    assert many.codes(range(3)) == {}
    assert many.search(Photograph(whole[0], mapped[1]), 1) == [0]


def test_a_codebook_is_read_as_it_was_written(codebook, tmp_path, monkeypatch):
    monkeypatch.setattr(words, "FOLDER", tmp_path)
    assert words.codebook_of(Seeing()) is None
    # NumPy's linear algebra gives columns where C has rows.
    columns = replace(codebook, projection=np.asfortranarray(codebook.projection))
    words.write_codebook(Seeing(), columns)
    again = words.codebook_of(Seeing())
    for name, array in codebook.arrays().items():
        np.testing.assert_allclose(again.arrays()[name], array, rtol=1e-3, atol=1e-5)
    assert words.codebook_of(object()) is None


def test_the_package_has_words_of_its_front_ends():
    book = words.codebook_of(create("sift"))
    assert (len(book.words), len(book.mean)) == (1200, 128)


def test_a_codebook_that_cannot_be_is_refused(codebook):
    with pytest.raises(ValueError, match="do not fit together"):
        Codebook(codebook.mean, codebook.projection[:, :8], codebook.words)
    with pytest.raises(ValueError, match="at least 64 of 32 numbers"):
        Codebook.learn(np.zeros((10, 32)), 32, 64)
