# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The MASt3R network (arXiv 2406.09756), split where a map of keyframes needs it.

`encode` is paid once an image; `decode` joins the tokens of K references with those of one query.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mast3r_ros.network.blocks import DecoderBlock, EncoderBlock, layer_norm
from mast3r_ros.network.config import ImageSize, MAST3RConfig
from mast3r_ros.network.heads import ViewHead
from mast3r_ros.network.prediction import TwoViewPrediction, ViewPrediction
from mast3r_ros.network.rope import RotaryTable, rotary_table


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

    def set_trunk_type(self, dtype: torch.dtype) -> MAST3R:
        """Hold the backbone's matrix products in `dtype`; norms and heads stay in float32."""
        for backbone in (
            self.patch_embed,
            self.enc_blocks,
            self.decoder_embed,
            self.dec_blocks,
            self.dec_blocks2,
        ):
            for module in backbone.modules():
                if isinstance(module, nn.Linear | nn.Conv2d):
                    module.to(dtype)
        return self

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) -> tokens (B, N, encoder width) float32.

        Their channels are RGB in [-1, 1], then the rays where `config.rays` says so.

        The tokens are all that a keyframe needs to keep; half precision is enough to store them.
        """
        table = self._table(self.config.grid(self._size(images)), self.config.encoder_heads, True)
        x = self.patch_embed(images)
        for block in self.enc_blocks:
            x = block(x, table)
        tokens: Tensor = self.enc_norm(x)
        return tokens

    def decode(
        self,
        references: Tensor,
        query: Tensor,
        reference_sizes: Sequence[ImageSize],
        query_size: ImageSize,
        query_points: bool = True,
    ) -> list[TwoViewPrediction[Tensor]]:
        """One query against K references, in one batch.

        Args:
            references: (K, N, encoder width) encoder tokens.
            query: (1, M, encoder width) encoder tokens.
            reference_sizes: the K image sizes, all with N tokens: landscape and portrait mix.
            query_size: the query's image size.
            query_points: whether the query's point map is wanted (it costs a DPT head).

        Returns:
            K predictions, in the order of the references.
        """
        self._check(references, query, reference_sizes, query_size)
        query = query.expand(len(references), -1, -1)
        levels, query_levels = self.decoder_levels(references, query, reference_sizes, query_size)
        queries = self._view(self.downstream_head2, query, query_levels, query_size, query_points)
        by_size: defaultdict[ImageSize, list[int]] = defaultdict(list)
        for i, size in enumerate(reference_sizes):
            by_size[size].append(i)
        out: dict[int, TwoViewPrediction[Tensor]] = {}
        for size, chosen in by_size.items():
            # Neighbors are a view; an index list would come from the host, amid a CUDA graph.
            together = chosen[-1] - chosen[0] + 1 == len(chosen)
            some = slice(chosen[0], chosen[-1] + 1) if together else chosen
            picked = [level[some] for level in levels]
            view = self._view(self.downstream_head1, references[some], picked, size, True)
            for place, i in enumerate(chosen):
                out[i] = TwoViewPrediction(_pick(view, place), _pick(queries, i))
        return [out[i] for i in range(len(references))]

    def decode_batch(
        self,
        references: Tensor,
        queries: Tensor,
        reference_size: ImageSize,
        query_size: ImageSize,
        query_points: bool,
    ) -> tuple[Tensor, ...]:
        """The decoder as a graph of one pair of sizes: K references and K queries.

        Returns:
            Points, confidence, descriptors and descriptor confidence of the references, then of
            the queries (without the first two where `query_points` is false), each with batch K.
        """
        levels = self.decoder_levels(references, queries, [reference_size], query_size)
        views = (
            self._view(self.downstream_head1, references, levels[0], reference_size, True),
            self._view(self.downstream_head2, queries, levels[1], query_size, query_points),
        )
        return tuple(value for view in views for value in vars(view).values() if value is not None)

    def decoder_levels(
        self,
        references: Tensor,
        query: Tensor,
        reference_sizes: Sequence[ImageSize],
        query_size: ImageSize,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Both views' decoder levels 1 .. depth, each (K, tokens, decoder width) float32.

        Takes the tokens of both views with the same batch K, and one size or K of them.
        A step's two blocks both read the other view's previous level. The last level is normed.
        """
        heads = self.config.decoder_heads
        tables = [self._table(self.config.grid(s), heads, False) for s in reference_sizes]
        table1 = tables[0]
        if len(set(reference_sizes)) > 1:
            table1 = RotaryTable(*(torch.cat(part) for part in zip(*tables, strict=True)))
        table2 = self._table(self.config.grid(query_size), heads, False)
        dtype = self.decoder_embed.weight.dtype
        x = self.decoder_embed(references.to(dtype)).float()
        y = self.decoder_embed(query.to(dtype)).float()
        levels, query_levels = [], []
        for block1, block2 in zip(self.dec_blocks, self.dec_blocks2, strict=True):
            x, y = block1(x, y, table1, table2), block2(y, x, table2, table1)
            levels.append(x)
            query_levels.append(y)
        levels[-1], query_levels[-1] = self.dec_norm(x), self.dec_norm(y)
        return levels, query_levels

    def _view(
        self,
        head: ViewHead,
        encoded: Tensor,
        levels: Sequence[Tensor],
        size: ImageSize,
        points: bool,
    ) -> ViewPrediction[Tensor]:
        """Everything of one view, with its batch."""
        grid = self.config.grid(size)
        described = head.descriptors(encoded, levels[-1], grid)
        if not points:
            return ViewPrediction(None, None, *described)
        picked = [encoded if i == 0 else levels[i - 1] for i in self.config.dpt_levels]
        return ViewPrediction(*head.points(picked, grid), *described)

    def _table(self, grid: tuple[int, int], heads: int, encoder: bool) -> RotaryTable:
        width = self.config.encoder_width if encoder else self.config.decoder_width
        device = self.enc_norm.weight.device
        return rotary_table(grid, width // heads, self.config.rope_base, device)

    def _size(self, images: Tensor) -> ImageSize:
        channels = self.config.input_channels
        if images.ndim != 4 or images.shape[1] != channels:
            raise ValueError(
                f"images have shape {tuple(images.shape)}; (B, {channels}, H, W) is needed"
            )
        return images.shape[2], images.shape[3]

    def _check(
        self,
        references: Tensor,
        query: Tensor,
        reference_sizes: Sequence[ImageSize],
        query_size: ImageSize,
    ) -> None:
        if len(references) != len(reference_sizes) or not reference_sizes:
            raise ValueError(f"{len(references)} references with {len(reference_sizes)} sizes")
        for name, tokens, size in (
            *(("reference", references, size) for size in reference_sizes),
            ("query", query, query_size),
        ):
            rows, columns = self.config.grid(size)
            expected = (rows * columns, self.config.encoder_width)
            if tuple(tokens.shape[1:]) != expected:
                raise ValueError(
                    f"{name} tokens have shape {tuple(tokens.shape[1:])}, but an image of "
                    f"{size[1]}x{size[0]} px has {expected} with this network"
                )


def _pick(view: ViewPrediction[Tensor], index: int) -> ViewPrediction[Tensor]:
    """One of a batch."""
    return ViewPrediction(*(None if v is None else v[index] for v in vars(view).values()))
