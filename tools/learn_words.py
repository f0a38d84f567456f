#!/usr/bin/env python3
# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Learn the visual words of a front end from rendered rooms, into mast3r_ros/weights.

    python3 tools/learn_words.py sift xfeat mast3r=nano

600 images of training rooms (seed 7). Do it again where weights or descriptors change.
"""

import argparse

from mast3r_ros.common.size import ImageSize
from mast3r_ros.frame import Frame
from mast3r_ros.frontends import create
from mast3r_ros.frontends.base import HasLocalFeatures
from mast3r_ros.keyframes.match_kernel import words_of
from mast3r_ros.keyframes.words import write_codebook
from mast3r_ros.training.worlds.pairs import PairSource

_SEED, _PAIRS, _SIZE = 7, 300, ImageSize(320, 240)


def main() -> None:
    """Writes a file for each front end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("front_ends", nargs="+", metavar="FRONT_END")
    for name in parser.parse_args().front_ends:
        front_end = create(name)
        if not isinstance(front_end, HasLocalFeatures):
            parser.error(f"front end {name} has no local features")
        rooms = PairSource(_SEED, "train", _SIZE)
        features = [
            front_end.local_features(front_end.describe(Frame(view.image, view.camera)))
            for pair in map(rooms.pair, range(_PAIRS))
            for view in (pair.reference, pair.query)
        ]
        print(write_codebook(front_end, words_of(features)))


if __name__ == "__main__":
    main()
