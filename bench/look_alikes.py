# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered places that look alike: how many images are localized, and how many wrong.

    python3 -m bench.look_alikes --front-end xfeat --scenes 10
    python3 -m bench.look_alikes --front-end xfeat --scenes 10 --kind poster floor --exact

Each kind of place is there twice: once nothing in view differs, so that only a refusal is honest
(a plane has two poses, which a close look may still distinguish), and once one object does.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench._scenes import add_keyframes, exact

if TYPE_CHECKING:
    from mast3r_ros.frontends.base import FrontEnd
    from mast3r_ros.localization.options import RelocalizerOptions
    from mast3r_ros.training.worlds.ambiguous import Scene

_KINDS = ("twin_rooms", "two_sided", "poster", "floor")
_QUERIES = 10


def outcomes(
    front_end: FrontEnd, scenes: Iterable[Scene], options: RelocalizerOptions
) -> Counter[str]:
    """How many queries are right (within 25 cm and 5 degrees), wrong, or refused, by the reason."""
    from mast3r_ros.evaluation.pose_error import Bound, PoseError
    from mast3r_ros.frame import Frame
    from mast3r_ros.keyframes.keyframe_map import KeyframeMap
    from mast3r_ros.localization.relocalizer import Relocalizer

    found = Counter[str]()
    for scene in scenes:
        keyframes = KeyframeMap(front_end)
        add_keyframes(keyframes, scene)
        loop = Relocalizer(keyframes, options)
        for view in scene.queries:
            answer = loop.localize(Frame(view.image, view.camera))
            if answer.pose is None:
                found[answer.reason.name] += 1
                continue
            right = PoseError.of(answer.pose, view.pose).within(Bound.of(0.25, 5.0))
            found["right" if right else "wrong"] += 1
    return found


def main() -> int:
    """Print a row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--front-end", default="sift")
    parser.add_argument("--kind", nargs="+", default=_KINDS, choices=_KINDS)
    parser.add_argument("--scenes", type=int, default=1, help=f"of {_QUERIES} queries each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--exact", action="store_true", help="options for a map without errors of poses and depth"
    )
    arguments = parser.parse_args()
    from mast3r_ros.frontends import create
    from mast3r_ros.localization.options import RelocalizerOptions
    from mast3r_ros.training.worlds.ambiguous import AmbiguousWorld

    options = exact() if arguments.exact else RelocalizerOptions()
    front_end = create(arguments.front_end)
    print("| world | what differs | right | wrong | refused |\n|---|---|---|---|---|")
    for kind in arguments.kind:
        for told in (False, True):
            world = AmbiguousWorld(kind, told, arguments.seed)
            scenes = (world.scene(number, _QUERIES) for number in range(arguments.scenes))
            found = outcomes(front_end, scenes, options)
            right, wrong = found.pop("right", 0), found.pop("wrong", 0)
            refused = ", ".join(f"{count} {reason}" for reason, count in found.most_common())
            differs = "one object" if told else "nothing"
            print(f"| {kind} | {differs} | {right} | {wrong} | {refused} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
