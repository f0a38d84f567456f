# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Sizes of a MASt3R network: the published one, and room for smaller ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mast3r_ros.common.size import ImageSize
from mast3r_ros.common.untrusted import brief, whole

# Four times the published network's: a checkpoint with larger sizes is damaged or hostile.
_MAX_WIDTH = 4096
_LIMITS = {
    "patch_size": (1, 64),
    "encoder_width": (4, _MAX_WIDTH),
    "encoder_depth": (1, 96),
    "encoder_heads": (1, 256),
    "decoder_width": (4, _MAX_WIDTH),
    "decoder_depth": (1, 96),
    "decoder_heads": (1, 256),
    "dpt_channels": (1, _MAX_WIDTH),
    "dpt_last_channels": (1, _MAX_WIDTH),
    "local_features_ratio": (1, 64),
    "descriptor_size": (1, 1024),
    "image_size": (8, 1 << 14),
}


@dataclass(frozen=True)
class MAST3RConfig:
    """Every size of the network; the defaults are the published checkpoint's.

    Attributes:
        patch_size: side of a patch [px]; images must be multiples of it.
        head: "dpt" fuses four levels with convolutions (arXiv 2103.13413); "linear" reads the last
            level alone, one linear layer a patch.
        dpt_level_channels: channels of the four levels before they are fused.
        dpt_channels: channels of the fused pyramid.
        dpt_last_channels: channels of the two last convolutions before the points.
        local_features_ratio: hidden width of the descriptor head over its input width.
        rays: whether the input has two more channels, the ray (x/z, y/z) of each pixel: a camera
            whose intrinsics are known need not guess its field of view, and so its scale.
        image_size: longer side of the images that the network was trained on [px].
    """

    patch_size: int = 16
    encoder_width: int = 1024
    encoder_depth: int = 24
    encoder_heads: int = 16
    decoder_width: int = 768
    decoder_depth: int = 12
    decoder_heads: int = 12
    head: Literal["dpt", "linear"] = "dpt"
    dpt_level_channels: tuple[int, int, int, int] = (96, 192, 384, 768)
    dpt_channels: int = 256
    dpt_last_channels: int = 128
    local_features_ratio: int = 4
    descriptor_size: int = 24
    rope_base: float = 100.0
    rays: bool = False
    image_size: int = 512

    def __post_init__(self) -> None:
        """Refuse sizes that no network can be built from, or that none has."""
        for name, (minimum, maximum) in _LIMITS.items():
            whole(getattr(self, name), name, minimum, maximum)
        channels = self.dpt_level_channels
        if not isinstance(channels, tuple) or len(channels) != 4:
            raise ValueError(f"dpt_level_channels = {brief(channels)}: must be 4 whole numbers")
        for count in channels:
            whole(count, "dpt_level_channels", 1, _MAX_WIDTH)
        if not isinstance(self.rope_base, (int, float)) or not 1.0 < self.rope_base < 1e9:
            raise ValueError(f"rope_base = {brief(self.rope_base)}: must be between 1 and 1e9")
        if not isinstance(self.rays, bool):
            raise ValueError(f"rays = {brief(self.rays)}: must be true or false")
        for part, width, heads in (
            ("encoder", self.encoder_width, self.encoder_heads),
            ("decoder", self.decoder_width, self.decoder_heads),
        ):
            if width % (4 * heads):
                raise ValueError(
                    f"{part}_width {width} with {part}_heads {heads}: 2-D rotary positions need "
                    f"the width to be a multiple of 4 x heads"
                )
        if self.patch_size not in (8, 16):
            raise ValueError(f"patch_size {self.patch_size} is not supported; use 8 or 16")
        if self.head not in ("dpt", "linear"):
            raise ValueError(f"head {brief(self.head)} is unknown; use 'dpt' or 'linear'")
        if self.head == "dpt" and self.decoder_depth < 4:
            raise ValueError(
                f"decoder_depth {self.decoder_depth}: the dpt head reads four different levels, "
                f"so it needs at least 4 decoder blocks; use head='linear' for fewer"
            )

    @property
    def input_channels(self) -> int:
        """Channels of the input: RGB, and the rays where the network takes them."""
        return 5 if self.rays else 3

    @property
    def point_levels(self) -> tuple[int, ...]:
        """The decoder levels that the point head reads; level 0 is the encoder's output."""
        n = self.decoder_depth
        return (0, n // 2, 3 * n // 4, n) if self.head == "dpt" else (n,)

    def grid(self, size: ImageSize) -> tuple[int, int]:
        """(rows, columns) of tokens of an image of `size`; ValueError where it does not divide."""
        width, height = size
        if height <= 0 or width <= 0 or height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"image of {width}x{height} px: both sides must be positive multiples of the "
                f"{self.patch_size} px patch; crop the image first (network.preprocess)"
            )
        return height // self.patch_size, width // self.patch_size

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored in our checkpoints."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> MAST3RConfig:
        """The inverse of `to_dict`; also takes what JSON makes of it."""
        if not isinstance(values, dict):
            raise ValueError(f"not a network configuration: {brief(values)}")
        values = dict(values)
        if "dpt_level_channels" in values:
            values["dpt_level_channels"] = tuple(values["dpt_level_channels"])
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"not a network configuration: {error}") from error


PUBLISHED = "MASt3R_ViTLarge_BaseDecoder_512_catmlpdpt_metric"

CONFIGS: dict[str, MAST3RConfig] = {PUBLISHED: MAST3RConfig()}


def named_config(name: str) -> MAST3RConfig:
    """The configuration of a published checkpoint by its name."""
    if name not in CONFIGS:
        raise ValueError(f"network configuration {name!r} is unknown; known: {', '.join(CONFIGS)}")
    return CONFIGS[name]
