# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A network before its first step."""

from __future__ import annotations

import torch
from torch import nn

from mast3r_ros.network.config import MAST3RConfig
from mast3r_ros.network.heads import LinearHead
from mast3r_ros.network.mast3r import MAST3R

# Length of a first guess, log(1 + d) of a wall some meters off: from zero, where a direction has no
# gradient to follow, a head takes long to start.
_FIRST_LENGTH = 1.2


def new_network(config: MAST3RConfig, seed: int) -> MAST3R:
    """A network to be trained; what its two views begin with is the same.

    The descriptor head is one for both views, and stays so; and it gives all pixels of a patch the
    same descriptor at first. Random ones would differ for the same point wherever the two views'
    patches lie otherwise, and training would begin by making all descriptors alike.
    """
    torch.manual_seed(seed)
    model = MAST3R(config)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    model.dec_blocks2.load_state_dict(model.dec_blocks.state_dict())
    for head in (model.downstream_head1, model.downstream_head2):
        last = head.dpt.proj if isinstance(head.dpt, LinearHead) else head.dpt.head[-1]
        assert isinstance(last, nn.Linear | nn.Conv2d)
        assert last.bias is not None
        with torch.no_grad():
            last.weight.mul_(0.1)
            last.bias.zero_()
            last.bias.view(4, -1)[2] = _FIRST_LENGTH
    share_descriptor_head(model)
    fc2 = model.downstream_head1.head_local_features.fc2
    with torch.no_grad():
        pixels = fc2.weight.view(config.descriptor_size + 1, config.patch_size**2, -1)
        pixels.copy_(pixels[:, :1].clone())
    return model


def share_descriptor_head(model: MAST3R) -> None:
    """Make both views' descriptor heads one module."""
    model.downstream_head2.head_local_features = model.downstream_head1.head_local_features
