# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Maps and images as robots have them: each disturbance is a small function with a seed.

A disturbance of the map or of the camera acts on keyframes, one of the image on queries; what is
fixed to the camera acts on both. The truth of the queries is never disturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mast3r_ros.datasets.recording import PosedImage
from mast3r_ros.frame import Frame
from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.transforms import Pose

Rng = np.random.Generator
# Standard deviation of a depth sensor's noise at 1 m [m]; it grows with the square of the depth
# (Khoshelham and Elberink 2012 measured 1.5 mm with a Kinect).
_DEPTH_NOISE = 0.005
_GAMMA = 2.2


def _same_frame(frame: Frame, random: Rng) -> Frame:
    return frame


def _same_pose(pose: Pose, random: Rng) -> Pose:
    return pose


@dataclass(frozen=True)
class Perturbation:
    """What is done to the images of a recording.

    Attributes:
        name: of the row.
        keyframe: done to the image of each keyframe.
        pose: done to the pose of each keyframe.
        query: done to each query.
    """

    name: str
    keyframe: Callable[[Frame, Rng], Frame] = _same_frame
    pose: Callable[[Pose, Rng], Pose] = _same_pose
    query: Callable[[Frame, Rng], Frame] = _same_frame

    def keyframes(self, images: Iterable[PosedImage], seed: int) -> Iterator[PosedImage]:
        """The disturbed keyframes."""
        for i, image in enumerate(images):
            random = np.random.default_rng([seed, i, 0])
            load = partial(_load, image, self.keyframe, [seed, i, 1])
            yield replace(image, pose=self.pose(image.true_pose, random), load=load)

    def queries(self, images: Iterable[PosedImage], seed: int) -> Iterator[PosedImage]:
        """The disturbed queries."""
        for i, image in enumerate(images):
            yield replace(image, load=partial(_load, image, self.query, [seed, i, 2]))


def _load(
    image: PosedImage, disturb: Callable[[Frame, Rng], Frame], seed: list[int], with_depth: bool
) -> Frame:
    return disturb(image.load(with_depth), np.random.default_rng(seed))


def move(pose: Pose, random: Rng, meters: float, degrees: float) -> Pose:
    """The pose, moved by exactly this distance and turned by exactly this angle."""
    directions = random.normal(size=(2, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    delta = np.concatenate([meters * directions[0], np.deg2rad(degrees) * directions[1]])
    return transforms.perturb(pose, delta)


def shift_depth(frame: Frame, random: Rng, pixels: int) -> Frame:
    """Depth that is not registered to the image: shifted to the right; unknown at the left."""
    if frame.depth is None:
        return frame
    depth = np.full_like(frame.depth, np.nan)
    depth[:, pixels:] = frame.depth[:, :-pixels]
    return replace(frame, depth=depth)


def add_depth_noise(frame: Frame, random: Rng, sigma: float = _DEPTH_NOISE) -> Frame:
    """Depth with independent noise in each pixel, of `sigma` at 1 m, growing with the square."""
    if frame.depth is None:
        return frame
    noise = random.normal(0.0, sigma, frame.depth.shape) * frame.depth**2
    return replace(frame, depth=(frame.depth + noise).astype(np.float32))


def scale_focal(frame: Frame, random: Rng, factor: float) -> Frame:
    """A calibration whose focal length is wrong by a factor."""
    if frame.camera is None:
        return frame
    camera = replace(frame.camera, fx=frame.camera.fx * factor, fy=frame.camera.fy * factor)
    return replace(frame, camera=camera)


def expose(frame: Frame, random: Rng, stops: float) -> Frame:
    """The light of the scene times 2 ** stops, clipped."""
    light = (frame.image / 255.0) ** _GAMMA * 2.0**stops
    image = 255.0 * np.minimum(light, 1.0) ** (1.0 / _GAMMA)
    return replace(frame, image=np.rint(image).astype(np.uint8))


def blur(frame: Frame, random: Rng, length: float) -> Frame:
    """Motion blur in a random direction, of a length that is a share of the image's width."""
    pixels = max(length * frame.size[0], 1.0)
    side = 2 * int(np.ceil(pixels / 2)) + 1
    angle = random.uniform(0.0, np.pi)
    end = 0.5 * pixels * np.array([np.cos(angle), np.sin(angle)])
    # Line ends in 1/256 pixels.
    start, stop = (np.rint(256 * ((side - 1) / 2 + s * end)).astype(int) for s in (-1, 1))
    kernel = np.zeros((side, side), np.uint8)
    cv2.line(kernel, start.tolist(), stop.tolist(), 255, 1, cv2.LINE_AA, 8)
    weights = kernel / float(kernel.sum())
    image = cv2.filter2D(frame.image, -1, weights, borderType=cv2.BORDER_REPLICATE)
    return replace(frame, image=np.asarray(image, np.uint8))


def add_body(frame: Frame, random: Rng, share: float) -> Frame:
    """A textured bumper over the lowest part of the image, 0.9 to 0.5 m away.

    It is the same in every image: `random` has no part in it.
    """
    width, height = frame.size
    rows = round(height * share)
    image = frame.image.copy()
    image[height - rows :] = _bumper(rows, width)
    depth = None if frame.depth is None else frame.depth.copy()
    if depth is not None:
        depth[height - rows :] = np.linspace(0.9, 0.5, rows, dtype=np.float32)[:, None]
    return replace(frame, image=image, depth=depth)


def mask_body(frame: Frame, random: Rng, share: float) -> Frame:
    """A mask over the lowest part of the image, beside the frame's own."""
    width, height = frame.size
    mask = np.full((height, width), 255, np.uint8) if frame.mask is None else frame.mask.copy()
    mask[height - round(height * share) :] = 0
    return replace(frame, mask=mask)


def add_masked_body(frame: Frame, random: Rng, share: float) -> Frame:
    """`add_body`, and `mask_body` over it."""
    return mask_body(add_body(frame, random, share), random, share)


def halve(frame: Frame, random: Rng) -> Frame:
    """The image at half of its resolution, with the camera that belongs to it."""
    width, height = (max(side // 2, 1) for side in frame.size)
    image = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
    return replace(
        frame,
        image=np.asarray(image, np.uint8),
        camera=None if frame.camera is None else frame.camera.resized(width, height),
        depth=None if frame.depth is None else _picked(frame.depth, width, height),
        mask=None if frame.mask is None else _picked(np.uint8(frame.mask > 0), width, height),
    )


def _picked(array: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """A smaller array of some of the values, none of them mixed."""
    return np.asarray(cv2.resize(array, (width, height), interpolation=cv2.INTER_NEAREST))


@lru_cache(maxsize=4)
def _bumper(rows: int, width: int) -> NDArray[np.uint8]:
    """(rows, width, 3): a gray ramp, half covered by blobs of all sizes, boxes and circles."""
    random = np.random.default_rng(9)
    texture = np.zeros((rows, width, 3), np.float32)
    for cell in (64, 24, 8, 3):
        noise = random.uniform(0, 1, (-(-rows // cell) + 1, -(-width // cell) + 1, 3))
        size = (noise.shape[1] * cell, noise.shape[0] * cell)
        grown = cv2.resize(noise.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
        texture += grown[:rows, :width]
    texture = 255 * (texture - texture.min()) / (np.ptp(texture) + 1e-6)
    drawn = np.ascontiguousarray(texture.astype(np.uint8))
    for _ in range(rows * width // 900):
        at = random.integers(0, (width, rows)).tolist()
        color = random.integers(0, 255, 3).tolist()
        if random.random() < 0.5:
            end = (np.array(at) + random.integers(4, 24, 2)).tolist()
            cv2.rectangle(drawn, at, end, color, -1)
        else:
            cv2.circle(drawn, at, int(random.integers(2, 12)), color, -1)
    ramp = np.linspace(50, 90, rows)[:, None, None]
    return np.asarray(0.5 * ramp + 0.5 * drawn, np.uint8)


def _poses_off(meters: float, degrees: float) -> Perturbation:
    name = f"keyframe poses {100 * meters:g} cm, {degrees:g}° off"
    return Perturbation(name, pose=partial(move, meters=meters, degrees=degrees))


def _keyframes(name: str, disturb: Callable[[Frame, Rng], Frame]) -> Perturbation:
    return Perturbation(name, keyframe=disturb)


def _queries(name: str, disturb: Callable[[Frame, Rng], Frame]) -> Perturbation:
    return Perturbation(name, query=disturb)


def _both(name: str, disturb: Callable[[Frame, Rng], Frame]) -> Perturbation:
    return Perturbation(name, keyframe=disturb, query=disturb)


UNPERTURBED = Perturbation("none")
PERTURBATIONS = (
    UNPERTURBED,
    _poses_off(0.01, 0.5),
    _poses_off(0.02, 1.0),
    _poses_off(0.05, 2.0),
    _keyframes("depth shifted by 2 pixels", partial(shift_depth, pixels=2)),
    _keyframes("depth shifted by 4 pixels", partial(shift_depth, pixels=4)),
    _keyframes("depth noise", add_depth_noise),
    _both("focal length 1 % off", partial(scale_focal, factor=1.01)),
    _both("focal length 2 % off", partial(scale_focal, factor=1.02)),
    _queries("exposure -1.5 stops", partial(expose, stops=-1.5)),
    _queries("exposure +1 stop", partial(expose, stops=1.0)),
    _queries("motion blur, 1.5 % of the width", partial(blur, length=0.015)),
    _both("body over the lowest 12 %", partial(add_body, share=0.12)),
    _both("body over the lowest 12 %, masked", partial(add_masked_body, share=0.12)),
    _queries("half resolution", halve),
)
