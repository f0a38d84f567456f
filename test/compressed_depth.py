# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bytes of compressed_depth_image_transport, made as it makes them."""

import struct

import cv2
import numpy as np


def rvl_bytes(pixels: np.ndarray) -> bytes:
    """The encoder of the paper, a nibble at a time."""
    nibbles = []

    def write(value):
        while True:
            nibble, value = value & 7, value >> 3
            nibbles.append(nibble | (8 if value else 0))
            if not value:
                return

    at, previous, flat = 0, 0, pixels.ravel().tolist()
    while at < len(flat):
        start = at
        while at < len(flat) and flat[at] == 0:
            at += 1
        write(at - start)
        start = at
        while at < len(flat) and flat[at] != 0:
            at += 1
        write(at - start)
        for value in flat[start:at]:
            delta = value - previous
            write((delta << 1) ^ (delta >> 31))
            previous = value
    nibbles += [0] * (-len(nibbles) % 8)
    words = [
        sum(n << (28 - 4 * i) for i, n in enumerate(nibbles[w : w + 8]))
        for w in range(0, len(nibbles), 8)
    ]
    return struct.pack(f"<{len(words)}I", *words)


def packed_depth(depth: np.ndarray, kind: str) -> tuple[str, bytes]:
    """Format and data of a 16UC1 message of (H, W) depth [m], kind `png` or `rvl`."""
    millimeters = np.rint(np.nan_to_num(depth) * 1000).astype(np.uint16)
    height, width = millimeters.shape
    body = bytes(cv2.imencode(".png", millimeters)[1])
    if kind == "rvl":
        body = struct.pack("<II", width, height) + rvl_bytes(millimeters)
    return f"16UC1; compressedDepth {kind}", struct.pack("<iff", 1, 0, 0) + body
