# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
import numpy as np
from numpy.typing import NDArray

def instruction_sets() -> list[str]: ...

class Index:
    def __init__(
        self,
        rows: NDArray[np.float32],
        *,
        height: int,
        width: int,
        threads: int,
        instruction_set: str = "",
    ) -> None: ...
    def nearest(
        self,
        queries: NDArray[np.float32],
        *,
        threads: int,
        second: bool,
        prune: bool = True,
        least: float = ...,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]: ...
