# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What is trained and how: a recipe for each size of network. The defaults stand here alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mast3r_ros.common.size import ImageSize
from mast3r_ros.network.config import MAST3RConfig


@dataclass(frozen=True)
class Stage:
    """A part of the curriculum, from the pair number `first` on.

    Attributes:
        first: at which a batch begins.
        min_overlap, wildness: as in `worlds.PairSource`.
        image_size: long side of the images [pixels], in whole patches; 0 is the network's.
    """

    first: int
    min_overlap: float
    wildness: float
    image_size: int = 0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what weights come out, but for the machine's rounding.

    Attributes:
        config: sizes of the network.
        steps: batches until the learning rate has fallen to its end.
        batch: pairs a step, over all processes.
        learning_rate: the highest one, after `warm_up` steps; it falls as a cosine.
        points_alpha: weight of the point confidences' logarithm (alpha of arXiv 2312.14132).
        match_weight: weight of the matching loss (beta of arXiv 2406.09756).
        matches: correspondences drawn from each pair, mismatches included.
        near: further negatives drawn for each, a few pixels beside the true match.
        temperature: of the matching loss (tau of arXiv 2406.09756).
        ema: decay a step of the averaged weights, which are what is kept.
        portrait: share of the batches whose images stand upright.
        curriculum: what pairs there are at first.
        worlds: versions of the worlds that are trained on, in turns.
    """

    config: MAST3RConfig
    steps: int
    batch: int
    learning_rate: float
    warm_up: int = 200
    weight_decay: float = 0.05
    clip: float = 1.0
    points_alpha: float = 0.2
    match_weight: float = 0.5
    matches: int = 512
    near: int = 6
    temperature: float = 0.07
    ema: float = 0.999
    portrait: float = 0.2
    curriculum: tuple[Stage, ...] = field(default=(Stage(0, 0.15, 1.0),))
    worlds: tuple[int, ...] = (2,)

    def size(self, stage: Stage) -> ImageSize:
        """The size of a stage's landscape images, 4:3."""
        width = stage.image_size or self.config.image_size
        return ImageSize(width, width * 3 // 4)

    def stage(self, pair: int) -> Stage:
        """The part of the curriculum that a pair's number falls into."""
        return [stage for stage in self.curriculum if stage.first <= pair][-1]


# Wild textures and far apart views teach little before the first matches are found.
_CURRICULUM = (Stage(0, 0.5, 0.3), Stage(16_000, 0.3, 0.6), Stage(40_000, 0.15, 1.0))
# Most is learned as well from smaller images, in two thirds of the time.
_SMALL_FIRST = (
    *(replace(stage, image_size=128) for stage in _CURRICULUM),
    Stage(200_000, 0.15, 1.0),
)

# For two CPU cores and an afternoon.
_NANO = Recipe(
    config=MAST3RConfig(
        patch_size=8,
        encoder_width=128,
        encoder_depth=3,
        encoder_heads=4,
        decoder_width=128,
        decoder_depth=4,
        decoder_heads=4,
        head="linear",
        local_features_ratio=1,
        rays=True,
        image_size=160,
    ),
    steps=32_000,
    batch=8,
    learning_rate=6e-4,
    curriculum=_SMALL_FIRST,
)

RECIPES = {
    "nano": _NANO,
    # From the weights of a finished run (`--checkpoint`): no easy pairs first, all at full size;
    # half the learning rate of a new network, and an average that forgets sooner, as there are
    # fewer steps. No other values were tried. Half of the pairs are of the worlds that the finished
    # run has seen: with version 2 alone, what it knew of version 1 became worse with every step.
    "nano-continued": replace(
        _NANO,
        steps=16_000,
        learning_rate=3e-4,
        warm_up=100,
        ema=0.998,
        curriculum=(Stage(0, 0.15, 1.0),),
        worlds=(1, 2),
    ),
    # For one data-center GPU and an hour or more.
    "tiny": Recipe(
        config=MAST3RConfig(
            patch_size=16,
            encoder_width=256,
            encoder_depth=7,
            encoder_heads=4,
            decoder_width=256,
            decoder_depth=6,
            decoder_heads=4,
            dpt_level_channels=(48, 96, 192, 256),
            dpt_channels=64,
            dpt_last_channels=64,
            local_features_ratio=1,
            rays=True,
            image_size=256,
        ),
        steps=60_000,
        batch=32,
        learning_rate=4e-4,
        warm_up=1_000,
        matches=2_048,
        ema=0.9995,
        curriculum=_CURRICULUM,
    ),
}
