# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From decoder levels to point map, confidence and descriptors.

Products and convolutions run in the type of their weights. The last layer before the points, the
norms and the activations are float32: points are exponentials of what that layer gives.

The point head is a dense prediction transformer (DPT, arXiv 2103.13413); points and confidences
are activated as in DUSt3R (arXiv 2312.14132) and the descriptors are MASt3R's (arXiv 2406.09756).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mast3r_ros.network.blocks import Mlp
from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.prediction import LocalFeatures


def activate_points(raw: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, H, W, 3) meters: directions kept, lengths d become exp(d) - 1."""
    raw = raw.permute(0, 2, 3, 1)
    distance = torch.linalg.vector_norm(raw, dim=-1, keepdim=True)
    points: Tensor = raw / distance.clamp(min=1e-8) * torch.expm1(distance)
    return points.contiguous()


def activate_confidence(raw: Tensor) -> Tensor:
    """Point confidence, in (1, inf)."""
    return 1 + raw.exp()


def _to_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Row-major tokens (B, N, C) -> (B, C, rows, columns)."""
    return torch.unflatten(tokens.transpose(1, 2), 2, grid)


def _to_pixels(tokens: Tensor, grid: tuple[int, int], patch: int) -> Tensor:
    """Row-major tokens (B, N, C patch^2) -> (B, H, W, C), C-contiguous.

    `F.pixel_shuffle` permuted to channels last would not do: on a GPU its memory is channels first.
    """
    rows, columns = grid
    x = torch.unflatten(torch.unflatten(tokens, 2, (-1, patch, patch)), 1, grid)
    x = x.permute(0, 1, 4, 2, 5, 3)
    return x.reshape(-1, rows * patch, columns * patch, x.shape[-1])


def _upsample(x: Tensor) -> Tensor:
    """Twice the size, bilinear, corners aligned."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        y: Tensor = self.conv2(F.relu(self.conv1(F.relu(x))))
        return x + y


class Fusion(nn.Module):
    """One step from a coarse level to the next finer one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(channels, channels, 1)
        # The coarsest step has no second input, yet the published file holds its unit 1 too.
        self.resConfUnit1 = ResidualUnit(channels)
        self.resConfUnit2 = ResidualUnit(channels)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """(B, C, H, W), and a skip of the same shape -> (B, C, 2H, 2W)."""
        if skip is not None:
            x = x + self.resConfUnit1(skip)
        y: Tensor = self.out_conv(_upsample(self.resConfUnit2(x)))
        return y


class _Enlarge(nn.ConvTranspose2d):
    """A transposed convolution in the type of its weights, whatever comes in and goes out."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, C, H, W) -> (B, C, stride x H, stride x W), in the type of `x`."""
        y: Tensor = super().forward(x.to(self.weight.dtype), output_size)
        return y.to(x.dtype)


class DptHead(nn.Module):
    """Four levels of tokens -> 4 channels (point and confidence) at full resolution."""

    def __init__(self, config: MAST3RConfig) -> None:
        super().__init__()
        widths = (config.encoder_width, *[config.decoder_width] * 3)
        levels = config.dpt_level_channels
        channels, last = config.dpt_channels, config.dpt_last_channels
        to_level = [nn.Conv2d(w, c, 1) for w, c in zip(widths, levels, strict=True)]
        self.act_postprocess = nn.ModuleList(
            (
                nn.Sequential(to_level[0], _Enlarge(levels[0], levels[0], 4, stride=4)),
                nn.Sequential(to_level[1], _Enlarge(levels[1], levels[1], 2, stride=2)),
                nn.Sequential(to_level[2]),
                nn.Sequential(to_level[3], nn.Conv2d(levels[3], levels[3], 3, stride=2, padding=1)),
            )
        )
        self.scratch = nn.Module()
        for i, c in enumerate(levels, start=1):
            conv = nn.Conv2d(c, channels, 3, padding=1, bias=False)
            self.scratch.add_module(f"layer{i}_rn", conv)
            self.scratch.add_module(f"refinenet{i}", Fusion(channels))
        # Fused levels are at 8 px a token: the last doubling brings patches of 16 to full size.
        self.head = nn.Sequential(
            nn.Conv2d(channels, last, 3, padding=1),
            nn.Identity() if config.patch_size == 8 else _Upsample(),
            nn.Conv2d(last, last, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(last, 4, 1),
        )

    def forward(self, levels: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """Four levels (B, N, C_i) over a (rows, columns) grid -> (B, 4, H, W)."""
        dtype = next(self.scratch.parameters()).dtype
        maps = [
            self.scratch.get_submodule(f"layer{i}_rn")(process(_to_map(level.to(dtype), grid)))
            for i, (process, level) in enumerate(
                zip(self.act_postprocess, levels, strict=True), start=1
            )
        ]
        x = self.scratch.get_submodule("refinenet4")(maps[3])
        # An odd number of token rows or columns was rounded up on the way to the coarsest level.
        x = x[..., : maps[2].shape[-2], : maps[2].shape[-1]]
        for i in (3, 2, 1):
            x = self.scratch.get_submodule(f"refinenet{i}")(x, maps[i - 1])
        out: Tensor = self.last(self.head[:-1](x).to(self.last.weight.dtype))
        return out

    @property
    def last(self) -> nn.Conv2d:
        """The layer whose output are points and confidence: float32 in every precision."""
        layer = self.head[-1]
        assert isinstance(layer, nn.Conv2d)
        return layer


class _Upsample(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _upsample(x)


class LinearHead(nn.Module):
    """The last level -> 4 channels at full resolution, one linear layer a patch."""

    def __init__(self, config: MAST3RConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.proj = nn.Linear(config.decoder_width, 4 * config.patch_size**2)

    def forward(self, levels: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """The last of `levels` (B, N, C) -> (B, 4, H, W)."""
        tokens = self.proj(levels[-1].to(self.proj.weight.dtype))
        return F.pixel_shuffle(_to_map(tokens, grid), self.patch_size)

    @property
    def last(self) -> nn.Linear:
        """The layer whose output are points and confidence: float32 in every precision."""
        return self.proj


class ViewHead(nn.Module):
    """What one view's tokens become: points, confidence, descriptors, descriptor confidence."""

    def __init__(self, config: MAST3RConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.dpt = DptHead(config) if config.head == "dpt" else LinearHead(config)
        width = config.encoder_width + config.decoder_width
        self.head_local_features = Mlp(
            width,
            config.local_features_ratio * width,
            (config.descriptor_size + 1) * config.patch_size**2,
        )

    def points(self, levels: Sequence[Tensor], grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The levels of `config.point_levels` -> points (B, H, W, 3) [m], confidence (B, H, W)."""
        raw = self.dpt(levels, grid).float()
        return activate_points(raw[:, :3]), activate_confidence(raw[:, 3])

    def local_features(self, encoded: Tensor, last: Tensor, grid: tuple[int, int]) -> Tensor:
        """Encoder tokens and last level -> (B, H, W, D + 1): descriptors and confidence, raw."""
        dtype = self.head_local_features.fc1.weight.dtype
        tokens = self.head_local_features(torch.cat((encoded.to(dtype), last.to(dtype)), dim=-1))
        return _to_pixels(tokens, grid, self.patch_size)

    def descriptors(
        self, encoded: Tensor, last: Tensor, grid: tuple[int, int]
    ) -> LocalFeatures[Tensor]:
        """Encoder tokens and last level -> unit descriptors (B, H, W, D), confidence (B, H, W)."""
        raw = self.local_features(encoded, last, grid).float()
        descriptors = raw[..., :-1]
        norms = torch.linalg.vector_norm(descriptors, dim=-1, keepdim=True)
        return LocalFeatures((descriptors / norms).contiguous(), raw[..., -1].exp().contiguous())
