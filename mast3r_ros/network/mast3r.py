# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The MASt3R network (arXiv 2406.09756), split where a map of keyframes needs it.

`encode` is paid once an image, `decode` once a pair of images, and `points` only for the pairs
whose matches are worth it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mast3r_ros.common.size import ImageSize
from mast3r_ros.network.blocks import DecoderBlock, EncoderBlock, layer_norm
from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.heads import ViewHead
from mast3r_ros.network.prediction import LocalFeatures
from mast3r_ros.network.rope import RotaryTables, rotary_tables


class PatchEmbedding(nn.Module):
    """Patches to tokens by one convolution."""

    def __init__(self, config: MAST3RConfig) -> None:
        super().__init__()
        patch = config.patch_size
        self.proj = nn.Conv2d(config.input_channels, config.encoder_width, patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, width) float32, row-major."""
        tokens: Tensor = self.proj(images.to(self.proj.weight.dtype))
        return tokens.flatten(2).transpose(1, 2).float()


class DecodedBatch(NamedTuple):
    """K pairs after the decoder.

    Attributes:
        reference, query: local features, with a leading K.
        levels, query_levels: of the decoder, each (K, tokens, decoder width) float32; the last one
            is normed.
    """

    reference: LocalFeatures[Tensor]
    query: LocalFeatures[Tensor]
    levels: list[Tensor]
    query_levels: list[Tensor]


class MAST3R(nn.Module):
    """Encoder, two decoders that read each other, and a head a view.

    Args:
        config: sizes. Parameter names follow the published checkpoint.
    """

    def __init__(self, config: MAST3RConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MAST3RConfig()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, config.decoder_width))  # unused, in files
        self.patch_embed = PatchEmbedding(config)
        self.enc_blocks = nn.ModuleList(
            EncoderBlock(config.encoder_width, config.encoder_heads)
            for _ in range(config.encoder_depth)
        )
        self.enc_norm = layer_norm(config.encoder_width)
        self.decoder_embed = nn.Linear(config.encoder_width, config.decoder_width)
        self.dec_blocks = self._decoder()
        self.dec_blocks2 = self._decoder()
        self.dec_norm = layer_norm(config.decoder_width)
        self.downstream_head1 = ViewHead(config)
        self.downstream_head2 = ViewHead(config)

    def _decoder(self) -> nn.ModuleList:
        config = self.config
        return nn.ModuleList(
            DecoderBlock(config.decoder_width, config.decoder_heads)
            for _ in range(config.decoder_depth)
        )

    def set_precision(self, dtype: torch.dtype) -> MAST3R:
        """Hold matrix products and convolutions in `dtype`; norms and points stay in float32.

        So do transposed convolutions in bf16, which TensorRT for RTX does not compile.
        """
        kept = {id(head.dpt.last) for head in (self.downstream_head1, self.downstream_head2)}
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                transposed = isinstance(module, nn.ConvTranspose2d)
                exact = id(module) in kept or (transposed and dtype == torch.bfloat16)
                module.to(torch.float32 if exact else dtype)
        return self

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> tokens (B, N, encoder width) float32.

        Their channels are RGB in [-1, 1], then the rays where `config.rays` says so.

        The tokens are all that a keyframe needs to keep; half precision is enough to store them.
        """
        tables = self._tables(self._size(images), encoder=True)
        x = self.patch_embed(images)
        for block in self.enc_blocks:
            x = block(x, tables)
        tokens: Tensor = self.enc_norm(x)
        return tokens

    def decode(
        self, references: Tensor, queries: Tensor, reference_size: ImageSize, query_size: ImageSize
    ) -> DecodedBatch:
        """K pairs of views, in one batch.

        Args:
            references: (K, N, encoder width) encoder tokens.
            queries: (K, M, encoder width) encoder tokens.
            reference_size, query_size: the image sizes.

        Raises:
            ValueError: tokens that do not fit the sizes.
        """
        self._check("reference", references, reference_size)
        self._check("query", queries, query_size)
        levels = self.decoder_levels(references, queries, reference_size, query_size)
        (own, others), grid = levels, self.config.grid
        return DecodedBatch(
            self.downstream_head1.descriptors(references, own[-1], grid(reference_size)),
            self.downstream_head2.descriptors(queries, others[-1], grid(query_size)),
            *levels,
        )

    def points(
        self, levels: Sequence[Tensor], size: ImageSize, of_query: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The point maps of one view of K pairs.

        Args:
            levels: those of `config.point_levels`, see `point_levels`.
            size: the view's image size.
            of_query: of the query, else of the reference; in the reference camera's frame in
                either case.

        Returns:
            points (K, H, W, 3) [m] and their confidence (K, H, W) in (1, inf).
        """
        head: ViewHead = self.downstream_head2 if of_query else self.downstream_head1
        return head.points(levels, self.config.grid(size))

    def point_levels(self, encoded: Tensor, levels: Sequence[Tensor]) -> list[Tensor]:
        """What `points` takes, of a view's encoder tokens and its decoder levels."""
        return [encoded if i == 0 else levels[i - 1] for i in self.config.point_levels]

    def decoder_levels(
        self, references: Tensor, queries: Tensor, reference_size: ImageSize, query_size: ImageSize
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Both views' decoder levels 1 .. depth, each (K, tokens, decoder width) float32.

        A step's two blocks both read the other view's previous level. The last level is normed.
        """
        tables1, tables2 = self._tables(reference_size), self._tables(query_size)
        dtype = self.decoder_embed.weight.dtype
        x = self.decoder_embed(references.to(dtype)).float()
        y = self.decoder_embed(queries.to(dtype)).float()
        levels, query_levels = [], []
        for block1, block2 in zip(self.dec_blocks, self.dec_blocks2, strict=True):
            x, y = block1(x, y, tables1, tables2), block2(y, x, tables2, tables1)
            levels.append(x)
            query_levels.append(y)
        levels[-1], query_levels[-1] = self.dec_norm(x), self.dec_norm(y)
        return levels, query_levels

    def _tables(self, size: ImageSize, encoder: bool = False) -> RotaryTables:
        config, weight = self.config, self.decoder_embed.weight
        width, heads = (
            (config.encoder_width, config.encoder_heads)
            if encoder
            else (config.decoder_width, config.decoder_heads)
        )
        grid = config.grid(size)
        return rotary_tables(grid, width // heads, config.rope_base, weight.device, weight.dtype)

    def _size(self, images: Tensor) -> ImageSize:
        channels = self.config.input_channels
        if images.ndim != 4 or images.shape[1] != channels:
            raise ValueError(
                f"images have shape {tuple(images.shape)}; (B, {channels}, H, W) is needed"
            )
        return ImageSize.of(images.shape[2:])

    def _check(self, name: str, tokens: Tensor, size: ImageSize) -> None:
        rows, columns = self.config.grid(size)
        expected = (rows * columns, self.config.encoder_width)
        if tuple(tokens.shape[1:]) != expected:
            raise ValueError(
                f"{name} tokens have shape {tuple(tokens.shape[1:])}, but an image of {size} px "
                f"has {expected} with this network"
            )
