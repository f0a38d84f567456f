# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Aggregated selective match kernels: how alike images are, by the visual words of their features.

The binary kernel of Tolias, Avrithis and Jegou (ICCV 2013; IJCV 2016), by which MASt3R-SfM (arXiv
2409.19152) finds images that see the same things. Local features are whitened and each belongs to
the nearest of some thousand words. What the features of one word add to its center is summed up and
kept as bits. Two images are alike as far as the bits of the words that they share agree: a word
whose bits agree by chance alone has no weight, and many features of one word count as one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

# The share of bits that agree beyond chance, in [0, 1], is raised to this power; up to the
# threshold, it weighs 0: alpha and tau of the papers.
_POWER, _THRESHOLD = 3.0, 0.0
# A feature of a query is looked for in so many words, the nearest ones: it may lie at their border.
# Of few words, each would hold most features, and no longer tell anything: no more than one of so
# many words is taken.
_ASSIGNED, _OF_WORDS = 5, 200
# No more features of a query than this are looked for, evenly among all: on the office walk and in
# rendered rooms, as many images are found as with all 3,000, in half of the time. With the 1,500
# strongest, fewer are (`bench retrieval`).
_LOOKED_FOR = 1500
# Directions in which features hardly vary are not magnified beyond this part of the largest
# variance.
_LEAST_VARIANCE = 1e-3
_ROUNDS = 12
# Words are learned from so many features of each image, and are the centers of so many of them on
# average; 64 bits a word. Of 256 and 1,024 words and 64 and 128 bits, learned from 600 rendered
# images, these found the most on the office walk and in other rendered rooms (`bench retrieval`).
_SAMPLED, _MEMBERS, _BITS = 64, 32, 64
# How many bits of a number of 16 are set.
_ONES = np.unpackbits(np.arange(1 << 16, dtype="<u2").view(np.uint8)).reshape(-1, 16).sum(1)


@dataclass(frozen=True)
class Code:
    """The visual words of an image.

    Attributes:
        words: (M,) int64, each once, ascending.
        bits: (M,) uint64, signs of what the features of each word add to its center.
    """

    words: NDArray[np.int64]
    bits: NDArray[np.uint64]

    def packed(self) -> bytes:
        """As a file keeps it."""
        return self.words.astype("<u2").tobytes() + self.bits.astype("<u8").tobytes()

    @staticmethod
    def unpacked(data: bytes, words: int) -> Code:
        """What `packed` made, of a codebook of so many words; ValueError where it is none."""
        count, rest = divmod(len(data), 10)
        own = np.frombuffer(data, "<u2", count).astype(np.int64)
        if rest or (np.diff(own) <= 0).any() or (own >= words).any():
            raise ValueError(f"{len(data)} bytes are not the visual words of an image")
        return Code(own, np.frombuffer(data, "<u8", count, 2 * count).astype(np.uint64))


@dataclass(frozen=True)
class Codebook:
    """Words of local features.

    Attributes:
        mean: (D,) float32 of the features.
        projection: (D, B) float32, onto whitened numbers.
        words: (W, B) float32, centers of the words.
    """

    mean: NDArray[np.float32]
    projection: NDArray[np.float32]
    words: NDArray[np.float32]

    def __post_init__(self) -> None:
        length, bits = self.projection.shape
        fits = self.mean.shape == (length,) and self.words.shape[1:] == (bits,)
        if not fits or bits > 64 or len(self.words) > 1 << 16:
            raise ValueError(
                f"codebook of mean {self.mean.shape}, projection {self.projection.shape} and words "
                f"{self.words.shape}: they do not fit together"
            )

    @staticmethod
    def learn(features: NDArray[np.floating], bits: int, words: int, seed: int = 0) -> Codebook:
        """The words of a sample of features, by PCA and k-means.

        Args:
            features: (N, D) of many images of many places.
            bits: B of a word, at most 64 and D.
            words: W, at most 65,536 and N.
            seed: of k-means.

        Raises:
            ValueError: there are too few features.
        """
        values = np.asarray(features, np.float32)
        if len(values) < words or values.shape[1] < bits:
            raise ValueError(
                f"features {values.shape}: at least {words} of {bits} numbers are needed"
            )
        mean = values.mean(0)
        variances, axes = np.linalg.eigh(np.cov((values - mean).T))
        kept = np.argsort(-variances)[:bits]
        floor = _LEAST_VARIANCE * variances.max()
        projection = (axes[:, kept] / np.sqrt(variances[kept] + floor)).astype(np.float32)
        empty = Codebook(mean, projection, np.zeros((1, bits), np.float32))
        kmeans = faiss.Kmeans(
            bits, words, niter=_ROUNDS, seed=seed, min_points_per_centroid=1,
            max_points_per_centroid=len(values),
        )  # fmt: skip
        kmeans.train(empty.whitened(values))
        centers = np.asarray(kmeans.centroids, np.float32).reshape(words, bits)
        return Codebook(mean, projection, centers)

    @cached_property
    def identity(self) -> str:
        """Changes with the words: codes of others mean nothing."""
        return hashlib.sha256(self.words.tobytes()).hexdigest()[:16]

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The fields by name; the constructor takes them back."""
        return {"mean": self.mean, "projection": self.projection, "words": self.words}

    def whitened(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, B) of length 1, of features (N, D)."""
        values = (np.asarray(features, np.float32) - self.mean) @ self.projection
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
        return np.ascontiguousarray(values, np.float32)

    def code(self, features: NDArray[np.floating], query: bool = False) -> Code:
        """The words of an image's features (N, D); a query's are looked for in several words."""
        if query and len(features) > _LOOKED_FOR:
            features = features[np.linspace(0, len(features) - 1, _LOOKED_FOR).astype(int)]
        values = self.whitened(features)
        count = min(_ASSIGNED, max(len(self.words) // _OF_WORDS, 1)) if query else 1
        if not len(values):
            return Code(np.zeros(0, np.int64), np.zeros(0, np.uint64))
        _, near = faiss.knn(values, self.words, count)
        rest = (values[:, None] - self.words[near]).reshape(near.size, -1)
        order = np.argsort(near.ravel(), kind="stable")
        words, first = np.unique(near.ravel()[order], return_index=True)
        sums = np.add.reduceat(rest[order], first, axis=0)
        signs = np.zeros((len(words), 64), np.bool_)
        signs[:, : sums.shape[1]] = sums > 0
        return Code(words, np.packbits(signs, axis=1).view(np.uint64).ravel())


class WordIndex:
    """An inverted file: for each word, the images that have it and their bits.

    Images that were added last are in a list of their own until they are a fourth of all.
    """

    def __init__(self, codebook: Codebook) -> None:
        """Empty, for the codes of `codebook`."""
        self._count, self._bits = codebook.words.shape
        self._codes: dict[int, Code] = {}
        self._tail: dict[int, Code] = {}
        self._sorted = _Postings.of({}, self._count)

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, number: int) -> Code:
        """The code of an image; KeyError where there is none."""
        return self._codes[number]

    def add(self, number: int, code: Code) -> None:
        """Add an image by its number, once."""
        self._codes[number] = self._tail[number] = code

    def remove(self, number: int) -> None:
        """Forget an image."""
        del self._codes[number]
        if self._tail.pop(number, None) is None:
            self._sort()

    def search(
        self, code: Code, count: int, among: NDArray[np.int64] | None = None
    ) -> list[tuple[int, float]]:
        """The most similar images, best first, each with its score in [0, 1].

        Images that share no word are left out.

        Args:
            code: of the query.
            count: of the images at the most.
            among: only these, if given.
        """
        if 4 * len(self._tail) > len(self._codes):
            self._sort()
        parts = [self._sorted] + ([_Postings.of(self._tail, self._count)] if self._tail else [])
        numbers = np.concatenate([part.numbers for part in parts])
        scores = np.concatenate([part.scores(code, self._bits) for part in parts])
        kept = scores > 0 if among is None else (scores > 0) & np.isin(numbers, among)
        best = np.flatnonzero(kept)
        best = best[np.argsort(-scores[best], kind="stable")[:count]]
        return list(zip(numbers[best].tolist(), scores[best].tolist(), strict=True))

    def _sort(self) -> None:
        self._sorted, self._tail = _Postings.of(self._codes, self._count), {}


@dataclass(frozen=True)
class _Postings:
    """N images by word: those of word w are in rows starts[w] to starts[w + 1].

    Attributes:
        numbers, sizes: (N,) of the images, and how many words each has.
        starts: (W + 1,).
        images: (E,) which of the N images.
        bits: (E,) uint64 of theirs.
    """

    numbers: NDArray[np.int64]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    images: NDArray[np.int64]
    bits: NDArray[np.uint64]

    @staticmethod
    def of(codes: Mapping[int, Code], count: int) -> _Postings:
        """Of images by number, with `count` words."""
        words = np.concatenate([np.zeros(0, np.int64), *(c.words for c in codes.values())])
        bits = np.concatenate([np.zeros(0, np.uint64), *(c.bits for c in codes.values())])
        sizes = np.array([len(c.words) for c in codes.values()], np.int64)
        images = np.repeat(np.arange(len(codes)), sizes)
        order = np.argsort(words, kind="stable")
        starts = np.searchsorted(words[order], np.arange(count + 1))
        numbers = np.fromiter(codes, np.int64, len(codes))
        return _Postings(numbers, sizes, starts, images[order], bits[order])

    def scores(self, code: Code, length: int) -> NDArray[np.float64]:
        """(N,) how alike the images are to a query, whose words have `length` bits."""
        first, sizes = self.starts[code.words], np.diff(self.starts)[code.words]
        before = np.cumsum(sizes) - sizes
        rows = np.repeat(first - before, sizes) + np.arange(sizes.sum())
        differing = self.bits[rows] ^ np.repeat(code.bits, sizes)
        agreement = 1.0 - 2.0 * np.arange(65) / length
        selected = np.where(agreement > _THRESHOLD, np.abs(agreement) ** _POWER, 0.0)
        total = np.bincount(self.images[rows], selected[_ones(differing)], len(self.numbers))
        return np.asarray(total / np.sqrt(np.maximum(self.sizes * len(code.words), 1)))


def _ones(values: NDArray[np.uint64]) -> NDArray[Any]:
    """(N,) how many bits are set."""
    if hasattr(np, "bitwise_count"):  # from NumPy 2.0 on
        return np.asarray(np.bitwise_count(values))
    return np.asarray(_ONES[values.view(np.uint16)].reshape(-1, 4).sum(1))


def words_of(images: Sequence[NDArray[Any]]) -> Codebook:
    """Words learned from the features (N, D) of some images."""
    features = sample(images, _SAMPLED)
    bits = min(_BITS, features.shape[1])
    return Codebook.learn(features, bits, max(len(features) // _MEMBERS, 1))


def sample(images: Sequence[NDArray[Any]], count: int, seed: int = 0) -> NDArray[np.float32]:
    """Features (N, D) of many images, at most `count` of each, drawn at random."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [np.asarray(own[rng.permutation(len(own))[:count]], np.float32) for own in images]
    )
