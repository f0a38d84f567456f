# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Front end `sift`: Lowe's features (IJCV 2004) as RootSIFT (Arandjelovic et al., CVPR 2012)."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np

from mast3r_ros.frame import Frame
from mast3r_ros.frontends.features import (
    FeatureDescription,
    FeatureFrontEnd,
    points_from_depth,
    second_order_descriptor,
)

# A fixed random projection keeps distances well enough for retrieval (Johnson-Lindenstrauss) and
# its second moments short.
_PROJECTION = np.random.default_rng(0).standard_normal((128, 32)) / np.sqrt(32)


class SiftFrontEnd(FeatureFrontEnd):
    """OpenCV's SIFT; needs no torch."""

    name: ClassVar[str] = "sift"
    min_inliers: ClassVar[int] = 20
    min_inlier_ratio: ClassVar[float] = 0.15
    min_score: ClassVar[float] = 0.6
    ratio: ClassVar[float | None] = 0.85
    guided_min_score: ClassVar[float] = 0.5
    guided_ratio: ClassVar[float] = 0.8

    def __init__(self, max_keypoints: int = 4000) -> None:
        """Keep at most `max_keypoints` an image."""
        self.max_keypoints = max_keypoints
        self._detector = cv2.SIFT.create(nfeatures=max_keypoints, contrastThreshold=0.004)

    @property
    def fingerprint(self) -> str:
        """RootSIFT has no weights: the number of its layout."""
        return "rootsift-1"

    def describe(self, frame: Frame) -> FeatureDescription:
        """Detect and describe on the gray image."""
        gray = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
        found, raw = self._detector.detectAndCompute(gray, None)
        # OpenCV returns ties beyond nfeatures.
        found, raw = (
            found[: self.max_keypoints],
            (np.zeros((0, 128), np.float32) if raw is None else raw[: self.max_keypoints]),
        )
        keypoints = np.array([k.pt for k in found], np.float32).reshape(-1, 2)
        strength = np.array([k.response for k in found], np.float32)
        root = np.sqrt(raw / np.maximum(raw.sum(1, keepdims=True), 1e-12))
        points, sigma = points_from_depth(frame, keypoints)
        return FeatureDescription(
            second_order_descriptor(root @ _PROJECTION),
            keypoints,
            root.astype(np.float16),
            strength / max(float(strength.max(initial=0.0)), 1e-12),
            points,
            sigma,
        )
