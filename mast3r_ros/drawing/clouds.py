# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Point clouds on a page: drag to turn, wheel to come nearer. No library, nothing from outside."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from mast3r_ros.geometry.camera import Camera
from mast3r_ros.geometry.transforms import Pose

# Depth of the drawn cameras [m].
_FRUSTUM = 0.25
_MILLIMETERS = 1000.0
_FARTHEST = 32.0  # [m], what 16 bits of millimeters hold


@dataclass(frozen=True)
class DrawnCamera:
    """A camera in a cloud.

    Attributes:
        name: for the legend; cameras of one name and color have one entry.
        color: as CSS writes it.
        pose: cloud <- camera, (4, 4).
        camera: its intrinsics.
    """

    name: str
    color: str
    pose: Pose
    camera: Camera


@dataclass(frozen=True)
class Cloud:
    """Colored points, in a frame with z ahead and y down.

    Attributes:
        points: (N, 3) [m]; what is not finite, or beyond 32 m, is left out.
        colors: (N, 3) uint8 RGB.
        cameras: drawn as pyramids.
        spacing: angle between neighboring points, seen from the origin [rad].
    """

    points: NDArray[np.floating]
    colors: NDArray[np.uint8]
    cameras: Sequence[DrawnCamera]
    spacing: float


def cloud_html(cloud: Cloud) -> str:
    """A cloud as HTML; the page needs `SCRIPT` once, after all of them."""
    points = np.asarray(cloud.points, np.float64)
    with np.errstate(invalid="ignore"):
        kept = (np.abs(points) < _FARTHEST).all(axis=1)
    places = np.rint(points[kept] * _MILLIMETERS).astype("<i2")
    colors = np.ascontiguousarray(cloud.colors[kept], np.uint8)
    corners = [_corners(drawn) for drawn in cloud.cameras]
    cameras = [
        {"color": drawn.color, "corners": np.round(c, 4).tolist()}
        for drawn, c in zip(cloud.cameras, corners, strict=True)
    ]
    # All cameras and most of the points are in view.
    low, high = np.percentile(points[kept], (4, 96), axis=0) if kept.any() else np.zeros((2, 3))
    low, high = (
        np.min([low, *np.concatenate(corners)], 0),
        np.max([high, *np.concatenate(corners)], 0),
    )
    view = [*((low + high) / 2), float(np.linalg.norm(high - low)) / 2, cloud.spacing]
    legend = " ".join(
        f'<span style="color:{escape(color)}">&#9632; {escape(name)}</span>'
        for name, color in dict.fromkeys((drawn.name, drawn.color) for drawn in cloud.cameras)
    )
    return (
        f'<canvas class=cloud width=720 height=540 data-points="{_base64(places)}" '
        f'data-colors="{_base64(colors)}" data-view="{json.dumps(np.round(view, 4).tolist())}" '
        f'data-cameras="{escape(json.dumps(cameras))}"></canvas>'
        f"<figcaption>{legend} <i>drag to turn, wheel to come nearer</i></figcaption>"
    )


def _corners(drawn: DrawnCamera) -> NDArray[np.float64]:
    """(5, 3): the center, and the image's corners at a small depth, in the cloud."""
    camera = drawn.camera
    right, bottom = camera.width - 0.5, camera.height - 0.5
    image = [(-0.5, -0.5), (right, -0.5), (right, bottom), (-0.5, bottom)]
    ahead = camera.unproject(image, np.full(4, _FRUSTUM))
    own = np.vstack([np.zeros(3), ahead])
    return np.asarray(own @ drawn.pose[:3, :3].T + drawn.pose[:3, 3])


def _base64(array: NDArray[np.generic]) -> str:
    return base64.b64encode(array.tobytes()).decode()


STYLE = """
canvas.cloud { width: 100%; border-radius: 4px; background: #f6f8fa; touch-action: none;
               cursor: grab }
"""

SCRIPT = """<script>
for (const canvas of document.querySelectorAll("canvas.cloud")) {
  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const points = new Int16Array(bytes(canvas.dataset.points).buffer);
  const colors = bytes(canvas.dataset.colors), count = points.length / 3;
  const cameras = JSON.parse(canvas.dataset.cameras);
  const context = canvas.getContext("2d"), width = canvas.width, height = canvas.height;
  const [x0, y0, z0, radius, spacing] = JSON.parse(canvas.dataset.view);
  const image = context.createImageData(width, height);
  const nearest = new Float32Array(width * height);
  const focal = 0.9 * width;
  let yaw = 0.4, pitch = 0.35, distance = 1.7 * radius;
  const project = (x, y, z) => {
    x -= x0; y -= y0; z -= z0;
    const a = Math.cos(yaw) * x + Math.sin(yaw) * z, b = -Math.sin(yaw) * x + Math.cos(yaw) * z;
    const down = Math.cos(pitch) * y - Math.sin(pitch) * b;
    const ahead = Math.sin(pitch) * y + Math.cos(pitch) * b + distance;
    return [width / 2 + focal * a / ahead, height / 2 + focal * down / ahead, ahead];
  };
  const draw = () => {
    nearest.fill(Infinity);
    image.data.fill(0);
    for (let i = 0; i < count; i++) {
      const z = points[3 * i + 2] / 1000;
      const [u, v, ahead] = project(points[3 * i] / 1000, points[3 * i + 1] / 1000, z);
      if (ahead < 0.1) continue;
      const size = Math.min(Math.max(Math.ceil(1.2 * focal * spacing * z / ahead), 2), 12);
      const left = Math.round(u - size / 2), top = Math.round(v - size / 2);
      for (let y = Math.max(top, 0); y < Math.min(top + size, height); y++)
        for (let x = Math.max(left, 0); x < Math.min(left + size, width); x++) {
          const at = y * width + x;
          if (ahead >= nearest[at]) continue;
          nearest[at] = ahead;
          for (let c = 0; c < 3; c++) image.data[4 * at + c] = colors[3 * i + c];
          image.data[4 * at + 3] = 255;
        }
    }
    context.putImageData(image, 0, 0);
    context.lineWidth = 2.5;
    for (const {color, corners} of cameras) {
      const ends = corners.map(p => project(...p));
      if (ends.some(p => p[2] < 0.1)) continue;
      context.strokeStyle = color;
      context.beginPath();
      for (let i = 1; i < 5; i++) {
        context.moveTo(ends[0][0], ends[0][1]);
        context.lineTo(ends[i][0], ends[i][1]);
        context.lineTo(ends[i % 4 + 1][0], ends[i % 4 + 1][1]);
      }
      context.stroke();
    }
  };
  canvas.addEventListener("pointerdown", event => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", event => {
    if (!event.buttons) return;
    yaw -= event.movementX / 200;
    pitch = Math.min(Math.max(pitch + event.movementY / 200, -1.5), 1.5);
    requestAnimationFrame(draw);
  });
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    distance = Math.min(Math.max(distance * Math.exp(event.deltaY / 1000), 0.3), 60);
    requestAnimationFrame(draw);
  }, {passive: false});
  draw();
}
</script>"""
