# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether errors are as large as their covariances say."""

import numpy as np
from scipy import stats


def normalized_errors(errors: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """e^T C^-1 e of (N, F) errors and (N, F, F) covariances."""
    return np.einsum("ni,ni->n", errors, np.linalg.solve(covariances, errors[..., None])[..., 0])


def follows_chi_square(values: np.ndarray, freedom: int = 6) -> bool:
    """Whether (N,) values may come from a chi-square law, by their shape, mean and tail."""
    law, count = stats.chi2(freedom), len(values)
    mean_deviation = abs(values.mean() - law.mean()) / (law.std() / np.sqrt(count))
    beyond = int((values > law.ppf(0.95)).sum())
    return bool(
        stats.kstest(values, law.cdf).pvalue > 0.01
        and mean_deviation < 3.0
        and stats.binomtest(beyond, count, 0.05).pvalue > 0.01
    )
