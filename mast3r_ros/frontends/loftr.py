# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Front end `loftr`: LoFTR (Sun et al., CVPR 2021, arXiv 2104.00680), a baseline, by kornia.

It has no features of an image by itself: a description keeps the image, and both are looked at
together. The weights are downloaded by `mast3r_ros fetch-loftr` alone. NOT RUN WITH THESE WEIGHTS
YET: where this was written they could not be had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import (
    Description,
    FrontEndError,
    no_query_points,
    require_array,
)
from mast3r_ros.frontends.features import points_from_depth, second_order_descriptor
from mast3r_ros.frontends.loftr_weights import weights_file
from mast3r_ros.frontends.options import LoftrOptions
from mast3r_ros.geometry.pixels import PixelTransform
from mast3r_ros.matching.correspondences import Correspondences

_CELL = 8  # pixels of a coarse cell, at whose corner a reference pixel lies
_CHANNELS = 256
# Of the channels' projection by which images are retrieved.
_RETRIEVED = 64


@dataclass(frozen=True)
class LoftrDescription(Description):
    """An image as the network takes it.

    Attributes:
        image: (h, w) uint8, gray, both multiples of 8.
        used: (h / 8, w / 8) uint8, zero where the frame's mask covers the cell's corner.
        points: (h / 8, w / 8, 3) float32 [m] of the cells' corners, NaN where unknown.
        depth_sigma: (h / 8, w / 8) float32, their relative deviation, NaN likewise.
        size: (2,) int64, (width, height) of the original image [pixels].
    """

    image: NDArray[np.uint8]
    used: NDArray[np.uint8]
    points: NDArray[np.float32]
    depth_sigma: NDArray[np.float32]
    size: NDArray[np.int64]

    def __post_init__(self) -> None:
        height, width = self.image.shape
        cells = (height // _CELL, width // _CELL)
        if height % _CELL or width % _CELL or not self.image.size:
            raise ValueError(f"image of {width}x{height}: both must be multiples of {_CELL}")
        require_array(self.used, "used", np.uint8, cells)
        require_array(self.points, "points", np.float32, (*cells, 3))
        require_array(self.depth_sigma, "depth_sigma", np.float32, cells)
        require_array(self.size, "size", np.int64, (2,))

    @property
    def to_original(self) -> PixelTransform:
        """From the network's pixels to those of the original image."""
        height, width = self.image.shape
        return PixelTransform.resize((width, height), (int(self.size[0]), int(self.size[1])))


class LoftrFrontEnd:
    """LoFTR on the GPU where torch sees one."""

    name: ClassVar[str] = "loftr"
    description_type: ClassVar[type[Description]] = LoftrDescription
    min_inliers: ClassVar[int] = 40
    # As that of lighterglue: guessed, since the weights were not at hand.
    min_inlier_ratio: ClassVar[float] = 0.27

    def __init__(self, options: LoftrOptions | None = None) -> None:
        """Load the network.

        Raises:
            FrontEndError: torch, kornia or the weights are missing, or the weights are others.
        """
        self.options = options or LoftrOptions()
        weights = weights_file(self.options.weights)
        if not weights.is_file():
            raise FrontEndError(
                f"front end 'loftr': no weights at {weights}: get them with mast3r_ros fetch-loftr "
                "--accept-license, or name a file by its option `weights`"
            )
        try:
            import torch
            from kornia.feature import LoFTR
        except ImportError as error:
            raise FrontEndError(
                "front end 'loftr' needs torch and kornia: pip install torch kornia"
            ) from error
        self._torch = torch
        self.device = self.options.device
        if self.device == "auto":
            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        content = weights.read_bytes()
        self._fingerprint = "loftr-" + hashlib.sha256(content).hexdigest()[:16]
        self._network: Any = LoFTR(None)
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            self._network.load_state_dict(state.get("state_dict", state))
        except Exception as error:  # torch raises what it likes for a damaged file
            raise FrontEndError(f"{weights} does not hold weights of LoFTR: {error}") from error
        self._network.coarse_matching.thr = self.options.min_confidence
        self._network.eval().to(self.device)
        rng = np.random.default_rng(0)
        self._projection, _ = np.linalg.qr(rng.normal(size=(_CHANNELS, _RETRIEVED)))

    @property
    def fingerprint(self) -> str:
        """Hash of the weights, and what shapes descriptions."""
        return f"{self._fingerprint}-{self.options.max_image_side}"

    def pixel_error_scale(self, size: tuple[int, int]) -> float:
        """Errors are of the size of the image that the network sees."""
        return max(1.0, max(size) / self.options.max_image_side)

    def describe(self, frame: Frame) -> LoftrDescription:
        """Keep the image at the network's size, with what is known at its cells' corners."""
        width, height = frame.size
        scale = min(1.0, self.options.max_image_side / max(width, height))
        small = tuple(max(round(side * scale / _CELL), 1) * _CELL for side in (width, height))
        gray = cv2.cvtColor(np.asarray(frame.visible), cv2.COLOR_RGB2GRAY)
        image = np.asarray(cv2.resize(gray, small, interpolation=cv2.INTER_AREA), np.uint8)
        cells = (small[1] // _CELL, small[0] // _CELL)
        y, x = np.mgrid[: cells[0], : cells[1]] * _CELL
        corners = PixelTransform.resize((small[0], small[1]), (width, height)).apply(
            np.stack([x, y], -1).reshape(-1, 2).astype(np.float64)
        )
        points, sigma = points_from_depth(frame, corners.astype(np.float32))
        used = np.ones(len(corners), np.uint8)
        if frame.mask is not None:
            column, row = np.clip(np.rint(corners).astype(int), 0, [width - 1, height - 1]).T
            used = (frame.mask[row, column] != 0).astype(np.uint8)
        return LoftrDescription(
            self._look(image),
            image,
            used.reshape(cells),
            points.reshape(*cells, 3),
            sigma.reshape(cells),
            np.array(frame.size, np.int64),
        )

    def match(
        self,
        references: Sequence[Description],
        query: Description,
        *,
        query_points: bool = False,
    ) -> list[Correspondences]:
        """Match one query against its candidates, one after the other.

        Raises:
            FrontEndError: the query's points are asked for, which its pixels do not give.
        """
        if query_points:
            raise no_query_points(self.name)
        assert isinstance(query, LoftrDescription)
        found = []
        for reference in references:
            assert isinstance(reference, LoftrDescription)
            found.append(self._matched(reference, query))
        return found

    def _matched(self, reference: LoftrDescription, query: LoftrDescription) -> Correspondences:
        with self._torch.inference_mode():
            answer = self._network(
                {"image0": self._tensor(reference.image), "image1": self._tensor(query.image)}
            )
        ours, theirs, confidence = (
            answer[key].cpu().numpy().astype(np.float32).reshape(-1, *shape)
            for key, shape in (("keypoints0", (2,)), ("keypoints1", (2,)), ("confidence", ()))
        )
        column, row = (np.rint(ours / _CELL).astype(int)).T
        there = np.rint(theirs / _CELL).astype(int)
        height, width = query.used.shape
        there = np.clip(there, 0, [width - 1, height - 1])
        keep = (reference.used[row, column] > 0) & (query.used[there[:, 1], there[:, 0]] > 0)
        row, column = row[keep], column[keep]
        points = reference.points[row, column]
        return Correspondences(
            reference.to_original.apply(ours[keep]).astype(np.float32),
            query.to_original.apply(theirs[keep]).astype(np.float32),
            confidence[keep],
            points,
            reference.depth_sigma[row, column],
            metric=bool(np.isfinite(points).any()),
        )

    def _look(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A global descriptor: second-order pooling of the coarse features."""
        with self._torch.inference_mode():
            coarse, _ = self._network.backbone(self._tensor(image))
        features = coarse[0].flatten(1).T.cpu().numpy()
        return second_order_descriptor(features @ self._projection)

    def _tensor(self, image: NDArray[np.uint8]) -> Any:
        return self._torch.from_numpy(image.astype(np.float32) / 255.0)[None, None].to(self.device)
