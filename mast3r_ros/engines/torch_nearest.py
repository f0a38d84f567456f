# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Nearest descriptors on the GPU that made them: the torch engine's own database."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BLOCK = 2048  # queries whose scores are held at once: 1.6 GB against 196,608 pixels


class TorchDatabase:
    """The descriptors of one image as `matching` searches them, without leaving their device.

    Products are exact float32; the first index wins a tie on a CPU, any on a GPU.

    Args:
        descriptors: (H, W, D) float32.
        on_host: the same.
    """

    def __init__(self, descriptors: Tensor, on_host: NDArray[np.float32]) -> None:
        height, width, channels = descriptors.shape
        self.shape: tuple[int, int] | None = (height, width)
        self._rows = descriptors.reshape(-1, channels)
        self.rows: NDArray[np.float32] = on_host.reshape(-1, channels)

    def search(
        self, queries: NDArray[np.float32], *, threads: int, second: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        """What `matching.nearest` calls; `threads` has no meaning here."""
        count = 2 if second else 1
        with torch.inference_mode():
            asked = torch.from_numpy(queries).to(self._rows.device)
            best = [
                (block @ self._rows.T).topk(count, dim=1) for block in torch.split(asked, _BLOCK)
            ]
            scores = torch.cat([b.values for b in best]).cpu().numpy()
            found = torch.cat([b.indices for b in best])[:, 0].cpu().numpy()
        others = scores[:, 1] if second else np.empty(0, np.float32)
        return found, scores[:, 0], others
