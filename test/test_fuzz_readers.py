# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Readers of files and messages under mutations: a clear error or a result, never anything else.

`MAST3R_ROS_FUZZ=3000 python3 -m pytest -s test/test_fuzz_readers.py` tries as many inputs on each
reader and prints a table.
"""

import io
import struct
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from bag_world import TYPES, camera_info, image, tf, write
from fuzzing import EDITS, fuzz, mutated
from hypothesis import strategies as st
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from scipy.io import savemat

from mast3r_ros.datasets import SourceOptions, open_dataset
from mast3r_ros.datasets.hloc import read_pairs, read_queries
from mast3r_ros.datasets.image_poses import read_poses as by_image
from mast3r_ros.datasets.images import read_depth, read_rgb
from mast3r_ros.datasets.inloc import _read_points
from mast3r_ros.datasets.mapfree import read_scene
from mast3r_ros.datasets.recording import read_frames
from mast3r_ros.datasets.summary import ReadSummary
from mast3r_ros.datasets.trajectory import read_poses
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.mapping.colmap_camera import camera_of
from mast3r_ros.messages import conversions, images

_LIMIT = 24.0
_CAMERA = Camera(16, 12, 20.0, 20.0, 8.0, 6.0, (0.1, 0.01, 0.0, 0.0))
_PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
_DEPTH = np.random.default_rng(1).integers(0, 5000, (12, 16)).astype(np.uint16)


# ---- what is mutated, and how it is read ------------------------------------------------------
_MATRIX = "[20.0, 0, 8.0, 0, 20.0, 6.0, 0, 0, 1]"
_CALIBRATIONS = [
    f"image_width: 16\nimage_height: 12\ncamera_matrix: {{rows: 3, cols: 3, data: {_MATRIX}}}\n"
    "distortion_model: plumb_bob\ndistortion_coefficients: {data: [0.1, 0.01, 0, 0]}\n",
    "header:\n  frame_id: lens\nheight: 12\nwidth: 16\ndistortion_model: plumb_bob\n"
    f"d: [0.1, 0, 0, 0]\nk: {_MATRIX}\nbinning_x: 2\nbinning_y: 2\n"
    "roi: {x_offset: 0, y_offset: 0, width: 8, height: 6}\n---\n",
    "%YAML:1.0\n---\nimage_width: 16\nimage_height: 12\ncamera_matrix: !!opencv-matrix\n"
    f"   rows: 3\n   cols: 3\n   dt: d\n   data: {_MATRIX}\n",
    "cam0:\n  intrinsics: [20, 20, 8, 6]\n  distortion_coeffs: [0, 0, 0, 0]\n"
    "  distortion_model: equidistant\n  resolution: [16, 12]\n",
]
_TRAJECTORY = "# timestamp tx ty tz qx qy qz qw\n" + "\n".join(
    f"{1403636579 + i}.763555584 {i}.5 -0.25 1e-3 0 0 0.1 0.9" for i in range(5)
)


def _listing(kind):
    return "\n".join(f"{1403636579 + i}.763555584 {kind}/{i}.png" for i in range(5))


def _encoded(suffix, pixels=_PIXELS):
    return bytes(cv2.imencode(suffix, pixels)[1])


def _compressed_depths():
    words = struct.pack("<III", 0x12A11000, 0x7F7F0000, 0)
    return [
        struct.pack("<iff", 0, 0, 0) + _encoded(".png", _DEPTH),
        struct.pack("<iff", 1, 10100.0, -1009.0) + _encoded(".png", _DEPTH),
        struct.pack("<iff", 0, 0, 0) + struct.pack("<II", 4, 3) + words,
    ]


def _recorded(folder, storage, compressed=False):
    """The bytes of the only file of a bag."""
    second = 10**9
    messages = []
    for i in range(2):
        stamp = (i + 1) * second
        messages += [
            ("/info", "sensor_msgs/msg/CameraInfo", stamp, camera_info(_CAMERA, stamp)),
            ("/image", "sensor_msgs/msg/Image", stamp, image(_PIXELS, "rgb8", stamp)),
            ("/depth", "sensor_msgs/msg/Image", stamp, image(_DEPTH, "16UC1", stamp)),
            ("/tf", "tf2_msgs/msg/TFMessage", stamp, tf("map", "lens", np.eye(4), stamp)),
        ]
    if not compressed:
        write(folder, messages, storage)
    else:
        writer = Writer(folder, version=9, storage_plugin=storage)
        writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
        with writer:
            for topic, kind, stamp, message in messages:
                known = [c for c in writer.connections if c.topic == topic]
                to = known[0] if known else writer.add_connection(topic, kind, typestore=TYPES)
                writer.write(to, stamp, TYPES.serialize_cdr(message, kind))
    return next(f for f in folder.iterdir() if f.name != "metadata.yaml").read_bytes()


def _read_calibration(path):
    Camera.from_yaml(path).normalize([[1.0, 2.0], [15.0, 11.0]])


def _read_bag(path):
    options = SourceOptions(image_topic="/image", depth_topic="/depth", max_megapixels=1.0)
    for _ in read_frames(open_dataset(path, options), with_depth=True):
        pass


def _as_text_of_a_folder(name):
    """The mutated file as one of the texts of a TUM folder, whose others are whole."""

    def read(path):
        folder = path.parent / "walk"
        (folder / name).write_bytes(path.read_bytes())
        for _ in read_frames(open_dataset(folder), with_depth=True):
            pass

    return read


def _write_walk(folder):
    """A TUM folder of five images with depth and poses."""
    for kind, pixels in (("rgb", _PIXELS), ("depth", _DEPTH)):
        (folder / kind).mkdir(parents=True)
        for i in range(5):
            (folder / kind / f"{i}.png").write_bytes(_encoded(".png", pixels))
        (folder / f"{kind}.txt").write_text(_listing(kind))
    (folder / "camera_info.yaml").write_text(_CALIBRATIONS[0])
    (folder / "groundtruth.txt").write_text(_TRAJECTORY)


def _as_message(convert, form=""):
    def read(path):
        data = np.frombuffer(path.read_bytes(), np.uint8)
        convert(SimpleNamespace(data=data, format=form), _LIMIT)

    return read


def _deserialized(kind, convert):
    def read(path):
        try:
            message = TYPES.deserialize_cdr(path.read_bytes(), kind)
        except Exception:  # what cannot be deserialized reaches no reader
            return
        convert(message)

    return read


_ENCODINGS = [*images._COLOR, *images._PLANAR, "secret", "32FC1"]


def _read_fields(path):
    """The first bytes are the fields of an Image, the others its data."""
    data = path.read_bytes().ljust(14, b"\0")
    height, width, step, big, encoding = struct.unpack_from("<IIIBB", data)
    message = SimpleNamespace(
        height=height,
        width=width,
        step=step,
        is_bigendian=big & 1,
        encoding=_ENCODINGS[encoding % len(_ENCODINGS)],
        data=data[14:],
    )
    (images.to_depth if big & 2 else images.to_rgb)(message, _LIMIT)


def _serialized(message, kind):
    return TYPES.serialize_cdr(message, kind).tobytes()


def _read_scene(path):
    scene = path.parent / "scene"
    scene.mkdir(exist_ok=True)
    (scene / "intrinsics.txt").write_bytes(path.read_bytes())
    (scene / "poses.txt").write_text("")
    read_scene(scene)


def _read_queries(path):
    for query in read_queries(path):
        camera_of(query.name, query.model, query.size, query.parameters)


def _points_file():
    stream = io.BytesIO()
    savemat(stream, {"XYZcut": np.arange(36.0).reshape(3, 4, 3)}, do_compression=True)
    return stream.getvalue()


_IMAGE, _INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
_BGR = _encoded(".jpg"), _encoded(".png"), _encoded(".webp"), _encoded(".tiff"), _encoded(".bmp")
READERS = {
    "calibration": (".yaml", [t.encode() for t in _CALIBRATIONS], _read_calibration),
    "trajectory": (".txt", [_TRAJECTORY.encode()], lambda p: read_poses(p, ReadSummary())),
    "poses of a TUM folder": (
        ".txt", [_TRAJECTORY.encode()], _as_text_of_a_folder("groundtruth.txt")
    ),
    "images of a TUM folder": (".txt", [_listing("rgb").encode()], _as_text_of_a_folder("rgb.txt")),
    "depth of a TUM folder": (
        ".txt", [_listing("depth").encode()], _as_text_of_a_folder("depth.txt")
    ),
    "image file": (".png", _BGR, lambda p: read_rgb(p, _LIMIT)),
    "depth file": (".png", [_encoded(".png", _DEPTH)], read_depth),
    "CompressedImage": (".bin", _BGR, _as_message(images.decompress)),
    "compressedDepth": (".bin", _compressed_depths(), _as_message(images.decompress_depth)),
    "compressedDepth 32FC1": (
        ".bin", _compressed_depths(), _as_message(images.decompress_depth, "32FC1; compressedDepth")
    ),
    "Image": (
        ".bin",
        [
            _serialized(image(_PIXELS, "rgb8", 1), _IMAGE),
            _serialized(image(_DEPTH, "bayer_rggb16", 1), _IMAGE),
            _serialized(image(_PIXELS[..., :2], "yuyv", 1), _IMAGE),
            _serialized(replace(image(_PIXELS[..., 0], "nv12", 1), height=8), _IMAGE),
        ],
        _deserialized(_IMAGE, lambda m: images.to_rgb(m, _LIMIT)),
    ),
    "Image fields": (
        ".bin",
        [struct.pack("<IIIBB", 12, 16, 48, 0, 0) + _PIXELS.tobytes()],
        _read_fields,
    ),
    "depth Image": (
        ".bin",
        [_serialized(image(_DEPTH, "16UC1", 1), _IMAGE)],
        _deserialized(_IMAGE, lambda m: images.to_depth(m, _LIMIT)),
    ),
    "CameraInfo": (
        ".bin",
        [_serialized(camera_info(_CAMERA, 1), _INFO)],
        _deserialized(_INFO, lambda m: conversions.to_camera(m, rectified=False)),
    ),
    "poses by image": (".txt", [b"db/a.jpg 1 0 0 0.1 1 2 3\nb.jpg 0 0 0 0 0 0 0\n"], by_image),
    "scene of mapfree": (
        ".txt", [b"seq0/frame_00000.jpg 590.1 590 269.5 352 540 720\n"], _read_scene
    ),
    "list of pairs": (".txt", [b"query/a.jpg db/1.jpg\nquery/a.jpg db/2.jpg\n"], read_pairs),
    "list of queries": (
        ".txt",
        [b"q/a.jpg SIMPLE_RADIAL 1600 1200 1300.5 800 600 -0.01\nb.jpg PINHOLE 4 3 9 9 2 1.5\n"],
        _read_queries,
    ),
    "points of a cutout": (".mat", [_points_file()], _read_points),
    "bag mcap": (".mcap", None, _read_bag),
    "bag sqlite3": (".db3", None, _read_bag),
    "bag of compressed messages": (".mcap", None, _read_bag),
}  # fmt: skip


def _bases(name, folder):
    storage = StoragePlugin.SQLITE3 if "sqlite3" in name else StoragePlugin.MCAP
    return [_recorded(folder / "bag", storage, "compressed" in name)]


@pytest.mark.parametrize("name", READERS)
def test_a_mutated_input_is_read_or_told(name, tmp_path):
    suffix, bases, read = READERS[name]
    bases = bases or _bases(name, tmp_path)
    _write_walk(tmp_path / "walk")
    path = tmp_path / f"mutated{suffix}"

    def read_mutated(one):
        base, edits = one
        path.write_bytes(mutated(base, edits))
        read(path)

    for base in bases:  # unharmed, it is read
        path.write_bytes(base)
        if name not in ("compressedDepth 32FC1", "compressedDepth"):
            read(path)
    fuzz(name, st.tuples(st.sampled_from(bases), EDITS), read_mutated)
