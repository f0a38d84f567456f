# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Front end `sift`: Lowe's features (IJCV 2004) as RootSIFT (Arandjelovic et al., CVPR 2012)."""

from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frame import Frame
from mast3r_ros.frontends.features import (
    FeatureDescription,
    FeatureFrontEnd,
    points_from_depth,
    second_order_descriptor,
)
from mast3r_ros.frontends.options import SiftOptions

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
    channels: ClassVar[int] = 128

    def __init__(self, options: SiftOptions | None = None) -> None:
        """Make the detector."""
        self.options = options or SiftOptions()
        # It drops the weakest before it looks at a mask, so that a textured bumper would take the
        # places of what the mask leaves: with a mask, all are described and the best kept here.
        self._detector, self._unlimited = (
            cv2.SIFT.create(nfeatures=count, contrastThreshold=0.004, enable_precise_upscale=True)
            for count in (self.options.max_keypoints, 0)
        )

    @property
    def fingerprint(self) -> str:
        """RootSIFT has no weights: the number of its layout."""
        return "rootsift-2"

    def describe(self, frame: Frame) -> FeatureDescription:
        """Detect and describe on the gray image, or a smaller copy where it is large."""
        keypoints, strength, raw = self._detect(frame)
        root = np.sqrt(raw / np.maximum(raw.sum(1, keepdims=True), 1e-12))
        points, sigma = points_from_depth(frame, keypoints)
        return FeatureDescription(
            second_order_descriptor(root @ _PROJECTION),
            keypoints,
            root.astype(np.float16),
            strength / max(float(strength.max(initial=0.0)), 1e-12),
            points,
            sigma,
            np.array(frame.size, np.int64),
        )

    def _detect(
        self, frame: Frame
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Keypoints (N, 2) [pixels], responses (N,) and descriptors (N, 128), as OpenCV's."""
        gray, mask, scale = self._working_copy(frame)
        detector = self._detector if mask is None else self._unlimited
        found, raw = detector.detectAndCompute(gray, mask)
        keypoints = np.array([k.pt for k in found], np.float32).reshape(-1, 2)
        strength = np.array([k.response for k in found], np.float32)
        # OpenCV returns ties beyond its limit, and all where there is none.
        best = np.sort(np.argsort(-strength, kind="stable")[: self.options.max_keypoints])
        keypoints = (keypoints[best] + np.float32(0.5)) * scale - np.float32(0.5)
        descriptors = np.zeros((0, 128), np.float32) if raw is None else np.asarray(raw, np.float32)
        return keypoints, strength[best], descriptors[best]

    def _working_copy(
        self, frame: Frame
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, NDArray[np.float32]]:
        """The gray image and the mask, and the scale (x, y) from their pixels to the original's."""
        mask = None if frame.mask is None else frame.mask.astype(np.uint8)
        size = frame.size
        shrink = self.options.max_image_side / max(size)
        if shrink >= 1.0:
            gray = cv2.cvtColor(frame.visible, cv2.COLOR_RGB2GRAY)
            return np.asarray(gray, np.uint8), mask, np.ones(2, np.float32)
        small = [max(round(side * shrink), 1) for side in size]
        # Shrunk before it is gray: no second copy of a large image.
        image = cv2.resize(frame.visible, small, interpolation=cv2.INTER_AREA)
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if mask is not None:
            mask = np.asarray(cv2.resize(mask, small, interpolation=cv2.INTER_NEAREST), np.uint8)
        return np.asarray(gray, np.uint8), mask, np.divide(size, small, dtype=np.float32)
