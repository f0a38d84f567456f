# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Depth of matched pixels from two cameras whose relative pose is known in meters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose


def triangulate_depth(
    reference_rays: NDArray[np.float64],
    query_rays: NDArray[np.float64],
    query_reference: Pose,
    focal: float,
    pixel_sigma: float = 1.0,
    max_error: float = 4.0,
    min_parallax: float = np.deg2rad(1.0),
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Depth along each reference ray, and its standard deviation.

    The point z d of the reference is seen by the query along d': d' x (z R d + t) = 0 gives z in
    least squares (Hartley & Zisserman, Multiple View Geometry, 12.2, with one view exact).

    Args:
        reference_rays, query_rays: (N, 2) matched directions on the plane z = 1.
        query_reference: T_query_reference with t in meters.
        focal: query focal length [pixels].
        pixel_sigma: standard deviation of a matched pixel, the pose's error included.
        max_error: largest distance of the match from the epipolar line [pixels].
        min_parallax: smallest angle between the two rays [rad].

    Returns:
        z (N,) [m] and sigma (N,) [m]; NaN where a check fails.
    """
    count = len(reference_rays)
    ones = np.ones((count, 1))
    d = np.hstack([reference_rays, ones]) @ query_reference[:3, :3].T
    q = np.hstack([query_rays, ones])
    t = query_reference[:3, 3]
    a, b = np.cross(q, d), np.cross(q, t)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = -(a * b).sum(1) / (a * a).sum(1)
        point = z[:, None] * d + t
        seen = point[:, :2] / point[:, 2:]
        error = focal * np.hypot(*(seen - query_rays).T)
        # How far the image of the point moves for a meter of depth.
        rate = focal * np.hypot(*((d[:, :2] - seen * d[:, 2:]) / point[:, 2:]).T)
        cosine = (d * q).sum(1) / np.linalg.norm(d, axis=1) / np.linalg.norm(q, axis=1)
        parallax = np.arccos(np.clip(cosine, -1.0, 1.0))
        good = (z > 0) & (point[:, 2] > 0) & (error < max_error) & (parallax > min_parallax)
        # Both pixels of the match are noisy.
        sigma = np.sqrt(2.0) * pixel_sigma / rate
    return np.where(good, z, np.nan), np.where(good, sigma, np.nan)


def fuse_depths(
    depths: NDArray[np.float64], sigmas: NDArray[np.float64], max_relative_sigma: float = 0.1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Combine the depths that several neighbors give the same rays.

    Inverse depths are close to normal (Civera et al., T-RO 2008), so they are averaged by inverse
    variance; a ray whose neighbors contradict each other (beyond 3 sigma) is given up.

    Args:
        depths, sigmas: (V, N) [m], NaN where a neighbor does not see the point.

    Returns:
        depth (N,) [m] and relative deviation (N,); NaN where unknown or too uncertain.
    """
    mean, relative, total = _mean_inverse(depths, sigmas)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho, sigma = 1.0 / depths, sigmas / depths**2
        known = np.isfinite(rho) & np.isfinite(sigma)
        agree = np.where(known, np.abs(rho - mean) < 3.0 * sigma, True).all(0)
        good = (total > 0) & agree & (mean > 0) & (relative < max_relative_sigma)
        return np.where(good, 1.0 / mean, np.nan), np.where(good, relative, np.nan)


def consistent_depths(
    depths: NDArray[np.float64], sigmas: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """The depth that most neighbors agree on, of rays whose matches may be wrong.

    Two neighbors agree where their inverse depths are within 3 sigma of each other. Of each ray,
    the neighbor with whom most others agree is believed, and they with it.

    Args:
        depths, sigmas: (V, N), NaN where a neighbor does not see the point.

    Returns:
        depth (N,), its relative deviation (N,), and how many neighbors agree on it (N,); NaN, NaN
        and 0 where none sees the point.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        rho, sigma = 1.0 / depths, sigmas / depths**2
    most = np.zeros(depths.shape[1], np.int64)
    chosen = np.zeros(depths.shape, bool)
    for i in range(len(depths)):
        # NaN agrees with nothing.
        agree = np.abs(rho - rho[i]) < 3.0 * np.hypot(sigma, sigma[i])
        support = agree.sum(0)
        better = support > most
        most[better], chosen[:, better] = support[better], agree[:, better]
    mean, relative, _ = _mean_inverse(
        np.where(chosen, depths, np.nan), np.where(chosen, sigmas, np.nan)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1.0 / mean, relative, most


def _mean_inverse(
    depths: NDArray[np.float64], sigmas: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean inverse depth (N,) by inverse variance, its relative deviation, and the information."""
    with np.errstate(invalid="ignore", divide="ignore"):
        rho, sigma = 1.0 / depths, sigmas / depths**2
        known = np.isfinite(rho) & np.isfinite(sigma)
        weight = np.where(known, 1.0 / np.where(known, sigma, 1.0) ** 2, 0.0)
        total = weight.sum(0)
        mean = np.where(known, weight * np.where(known, rho, 0.0), 0.0).sum(0) / total
        return mean, 1.0 / np.sqrt(total) / mean, total


def relative(query: Pose, reference: Pose) -> Pose:
    """T_query_reference of two poses given in one frame."""
    return transforms.inverse(query) @ reference
