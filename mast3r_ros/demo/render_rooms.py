# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Renders the pairs of the second act: `python3 -m mast3r_ros.demo.render_rooms`.

They come with the package, so that the demo needs neither OpenGL nor textures. The first ones of
the source are taken, whatever a network makes of them.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import cv2

from mast3r_ros.datasets.recording import PosedPair
from mast3r_ros.datasets.worlds import rendered_pairs
from mast3r_ros.demo.rooms import FOLDER
from mast3r_ros.frame import Frame

_SEED, _COUNT, _SIZE, _MIN_OVERLAP = 7, 12, (480, 360), 0.4
_QUALITY = 88


def render(folder: Path) -> None:
    """Write the pairs' images, and what is true about them."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = itertools.islice(rendered_pairs(_SEED, _SIZE, _MIN_OVERLAP), _COUNT)
    about = [_write(folder, number, pair) for number, pair in enumerate(pairs)]
    (folder / "rooms.json").write_text(json.dumps(about, indent=1) + "\n")


def _write(folder: Path, number: int, pair: PosedPair) -> dict[str, object]:
    return {
        "name": pair.name,
        "overlap": round(pair.overlap, 3),
        "motion": pair.motion.tolist(),
        "reference": _write_view(folder / f"{number:02}_keyframe.jpg", pair.reference),
        "query": _write_view(folder / f"{number:02}_query.jpg", pair.query),
    }


def _write_view(path: Path, frame: Frame) -> dict[str, object]:
    bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert frame.camera is not None
    return {"image": path.name, "camera": frame.camera.to_dict()}


if __name__ == "__main__":
    render(FOLDER)
