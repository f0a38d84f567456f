# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The second version of the worlds: closer to what robots see.

Beside the first version's furnished rooms of boxes: curved, soft and thin things, people, clutter,
bare walls with faint marks, corridors and halls, yards and streets under a sky, and places that are
seen at two times, lit otherwise and with things moved. Cameras have the flaws of `flaws`, too.
"""

from __future__ import annotations

import numpy as np

from mast3r_ros.training.worlds.interiors import make_interior
from mast3r_ros.training.worlds.outdoors import daylight, make_yard
from mast3r_ros.training.worlds.palette import Palette
from mast3r_ros.training.worlds.places import relit
from mast3r_ros.training.worlds.room import Room, make_lights, make_room
from mast3r_ros.training.worlds.textures import Library

Rng = np.random.Generator

# Share of places that are rooms of the first version, and that are outdoors.
_BOXES, _OUTDOORS = 0.2, 0.15
# Of places that are seen at two times.
_TWO_TIMES = 0.35


def make_place(rng: Rng, library: Library, wildness: float) -> tuple[Room, ...]:
    """A place, or the same place at two times."""
    kind = rng.random()
    if kind < _BOXES:
        return (make_room(rng, library, wildness),)
    palette = Palette(library, rng, wildness * rng.random())
    if kind < _BOXES + _OUTDOORS:
        place, lights = make_yard(rng, palette), daylight(rng)
        later = daylight(rng)
    else:
        place = make_interior(rng, palette)
        lights = make_lights(place.fixed, rng, palette, place.size)
        later = relit(rng, lights)
    if rng.random() < _TWO_TIMES:
        return place.twice(rng, (lights, later))
    return (place.once(rng, lights),)
