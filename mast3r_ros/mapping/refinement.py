# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A map whose keyframes disagree by centimeters, adjusted so that they agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.features import FeatureFrontEnd
from mast3r_ros.geometry import transforms
from mast3r_ros.keyframes.keyframe import Keyframe
from mast3r_ros.keyframes.keyframe_map import KeyframeMap
from mast3r_ros.mapping.adjustment import Adjusted, Prior, Sightings, adjust
from mast3r_ros.mapping.extra import MappingError
from mast3r_ros.mapping.options import RefineOptions
from mast3r_ros.mapping.pairs import similar_pairs
from mast3r_ros.mapping.sightings import SeenPair, match_keyframes, sightings_of, verify_pairs
from mast3r_ros.mapping.triangulated import triangulated_again

# As the relocalizer: largest reprojection error of an inlier [pixels], and the part of a point's
# depth error that all points of its keyframe have in common.
_THRESHOLD_PX = 4.0
_SHARED_DEPTH = 0.5
# Of a pair that shows one place, most matches agree with the adjusted poses.
_AGREEING = 0.5
# Chi-square with six degrees of freedom exceeds this in one of a thousand cases.
_MOVED_FAR = 22.5


@dataclass(frozen=True)
class Refinement:
    """What came of a refinement.

    Attributes:
        keyframes: the map, its keyframes with new poses and covariances.
        moved_m, moved_rad: (K,) how far each keyframe moved.
        agreeing, contradicting: pairs of ids of keyframes that were used, and of those that no
            poses explain.
        before_px, after_px: median reprojection error of all matches of the pairs used [pixels].
        suspicious: why keyframes deserve a look, by id.
    """

    keyframes: KeyframeMap
    moved_m: NDArray[np.float64]
    moved_rad: NDArray[np.float64]
    agreeing: tuple[tuple[int, int], ...]
    contradicting: tuple[tuple[int, int], ...]
    before_px: float
    after_px: float
    suspicious: dict[int, str]

    def as_dict(self) -> dict[str, Any]:
        """The figures, fit for JSON."""
        degrees = np.rad2deg(self.moved_rad)
        covariances = [k.covariance for k in self.keyframes if k.covariance is not None]
        variances = np.array([np.diag(c) for c in covariances]).reshape(-1, 6)
        return {
            "pairs": len(self.agreeing),
            "contradicting_pairs": [list(pair) for pair in self.contradicting],
            "moved_median_m": float(np.median(self.moved_m)),
            "moved_max_m": float(self.moved_m.max()),
            "moved_median_deg": float(np.median(degrees)),
            "moved_max_deg": float(degrees.max()),
            "reprojection_before_px": self.before_px,
            "reprojection_after_px": self.after_px,
            "position_sigma_m": float(np.sqrt(np.median(variances[:, :3]))),
            "rotation_sigma_deg": float(np.rad2deg(np.sqrt(np.median(variances[:, 3:])))),
            "suspicious": {str(i): why for i, why in self.suspicious.items()},
        }


def candidate_pairs(keyframes: KeyframeMap, options: RefineOptions) -> list[tuple[int, int]]:
    """Pairs of keyframes, by their numbers in the map's order, that may see the same things.

    Raises:
        MappingError: there are too few keyframes, or one has no camera.
    """
    if len(keyframes) < 2:
        raise MappingError(f"{len(keyframes)} keyframes: there is nothing to adjust to one another")
    for keyframe in keyframes:
        if keyframe.camera is None:
            raise MappingError(
                f"keyframe {keyframe.id} has no camera: give the calibration of its images"
            )
    return similar_pairs(keyframes, options.alike, options.successors)


def matched_pairs(
    keyframes: KeyframeMap, pairs: Iterable[tuple[int, int]]
) -> Iterator[SeenPair | None]:
    """The verified matches of each pair; None where it shows nothing in common."""
    chosen, front_end = keyframes.in_order(), keyframes.front_end
    for pair in pairs:
        found = verify_pairs(chosen, match_keyframes(chosen, [pair], front_end), front_end)
        yield next(found, None)


def refine(
    keyframes: KeyframeMap, matches: Iterable[SeenPair | None], options: RefineOptions
) -> Refinement:
    """Adjust the poses of a map's keyframes, and keep how well they are known.

    Keyframes without depth get their points anew, by triangulation from the new poses.

    Args:
        keyframes: with cameras.
        matches: of `matched_pairs`.
        options: how well the given poses are known; covariances that the map keeps play no part,
            since the same matches may have made them.

    Raises:
        MappingError: no two keyframes see the same things.
    """
    chosen, pairs = keyframes.in_order(), list[tuple[int, int]]()
    same = isinstance(keyframes.front_end, FeatureFrontEnd)
    noise, readout = options.depth_noise, options.rolling_shutter
    seen = []
    for pair in matches:
        if pair is not None:
            pairs.append((pair.one, pair.other))
            seen.append(sightings_of(chosen, pair, noise, readout, same))
    if not any(seen):
        raise MappingError(
            f"none of the {len(chosen)} keyframes see the same things: there is nothing to adjust; "
            "build the map of images that overlap"
        )
    used = np.ones(len(pairs), np.bool_)
    # A network sees a small copy of the image: its errors are larger.
    thresholds = [_THRESHOLD_PX * keyframes.front_end.pixel_error_scale(k.size) for k in chosen]
    adjusted = None
    for _ in range(2):
        adjusted = _adjust(chosen, list(compress(seen, used)), thresholds, options, adjusted)
        agree = _agreeing(adjusted, list(compress(seen, used)), thresholds)
        if agree.all() or not agree.any():
            break
        used[np.flatnonzero(used)[~agree]] = False
    assert adjusted is not None
    contradicting = [pairs[i] for i in np.flatnonzero(~used)]
    poses = adjusted.poses
    moved = [transforms.difference(p, k.pose) for p, k in zip(poses, chosen, strict=True)]
    renewed = keyframes.derive(
        k.moved(pose, covariance)
        for k, pose, covariance in zip(chosen, poses, adjusted.covariances, strict=True)
    )
    kept = [pairs[i] for i in np.flatnonzero(used)]
    return Refinement(
        triangulated_again(renewed, kept),
        np.array([np.linalg.norm(m[:3]) for m in moved]),
        np.array([np.linalg.norm(m[3:]) for m in moved]),
        tuple((chosen[a].id, chosen[b].id) for a, b in kept),
        tuple((chosen[a].id, chosen[b].id) for a, b in contradicting),
        _median(adjusted.before),
        _median(adjusted.after),
        _suspicious(chosen, moved, kept, contradicting, options),
    )


def _adjust(
    chosen: Sequence[Keyframe],
    seen: Sequence[Sequence[Sightings]],
    thresholds: Sequence[float],
    options: RefineOptions,
    start: Adjusted | None,
) -> Adjusted:
    scales = np.zeros(len(chosen))
    flat = [s for of_pair in seen for s in of_pair]
    sigmas = defaultdict[int, list[NDArray[np.float64]]](list)
    for s in flat:
        sigmas[s.owner].append(s.depth_sigmas[np.isfinite(s.depth_sigmas)])
    for owner, parts in sigmas.items():
        known = np.concatenate(parts)
        scales[owner] = _SHARED_DEPTH * float(np.median(known)) if len(known) else 0.0
    cameras = [k.camera for k in chosen if k.camera is not None]
    return adjust(
        [k.pose for k in chosen],
        cameras,
        flat,
        thresholds,
        Prior(options.position_sigma, float(np.deg2rad(options.rotation_sigma)), scales),
        start,
    )


def _agreeing(
    adjusted: Adjusted, seen: Sequence[Sequence[Sightings]], thresholds: Sequence[float]
) -> NDArray[np.bool_]:
    """Which pairs agree with the adjusted poses."""
    shares, at = [], 0
    for of_pair in seen:
        after = adjusted.after[at : at + len(of_pair)]
        within = [e < thresholds[s.seer] for s, e in zip(of_pair, after, strict=True)]
        shares.append(float(np.concatenate(within).mean()))
        at += len(of_pair)
    return np.array(shares) >= _AGREEING


def _median(errors: Sequence[NDArray[np.float64]]) -> float:
    return float(np.median(np.concatenate(errors)))


def _suspicious(
    chosen: Sequence[Keyframe],
    moved: Sequence[NDArray[np.float64]],
    kept: Sequence[tuple[int, int]],
    contradicting: Sequence[tuple[int, int]],
    options: RefineOptions,
) -> dict[int, str]:
    """Keyframes that nothing is matched with, that moved too far, or that others contradict."""
    sigma = np.repeat([options.position_sigma, np.deg2rad(options.rotation_sigma)], 3)
    counts = [Counter(chain.from_iterable(pairs)) for pairs in (kept, contradicting)]
    found = {}
    for i, keyframe in enumerate(chosen):
        good, bad = (count[i] for count in counts)
        far = float(((moved[i] / sigma) ** 2).sum())
        meters, degrees = (np.linalg.norm(moved[i][:3]), np.rad2deg(np.linalg.norm(moved[i][3:])))
        if not good + bad:
            found[keyframe.id] = "shows what no other keyframe shows: its pose is as it was given"
        elif bad > good:
            found[keyframe.id] = f"contradicts {bad} of {good + bad} keyframes it is matched with"
        elif far > _MOVED_FAR:
            found[keyframe.id] = (
                f"moved by {100 * meters:.1f} cm and {degrees:.2f} degrees, more than "
                "--position-sigma and --rotation-sigma allow for"
            )
    return found
