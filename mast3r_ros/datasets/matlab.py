# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Arrays of MATLAB's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from mast3r_ros.datasets.summary import RecordingError


def read_arrays(path: Path, *names: str) -> list[NDArray[Any]]:
    """The arrays of a file (version 7 or earlier) by their names.

    Raises:
        RecordingError: the file cannot be read, or has no array of a name.
    """
    try:
        content: dict[str, Any] = loadmat(path, appendmat=False, variable_names=list(names))
        return [np.asarray(content[name]) for name in names]
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error
    except KeyError as error:
        raise RecordingError(f"{path} holds no {', '.join(names)}") from error
    except Exception as error:  # scipy raises what it likes for a damaged file
        raise RecordingError(f"{path} is not a MATLAB file that can be read: {error}") from error
