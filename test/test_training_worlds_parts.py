# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What rendered pairs are made from: meshes, pixels, cameras, textures and a camera's flaws."""

import sys

import numpy as np
import pytest

from mast3r_ros.geometry import transforms
from mast3r_ros.geometry.camera import Camera
from mast3r_ros.training.worlds import cameras, renderer, textures
from mast3r_ros.training.worlds.mesh import VERTEX_FLOATS, Material, Mesh
from mast3r_ros.training.worlds.photometry import expose
from mast3r_ros.training.worlds.room import LIGHTS, SHADOW_SIDE, Room
from mast3r_ros.training.worlds.textures import Library, Texture

moderngl = pytest.importorskip("moderngl")

_WHITE = Material(0, (1.0, 1.0), glow=1.0)
# Off the middle, so that a shifted or mirrored image is noticed.
_CAMERA = Camera(64, 48, 50.0, 50.0, 35.2, 20.7)


def _library():
    images = np.full((2, 256, 256, 3), 255, np.uint8)
    images[1] = 0
    return Library((Texture("white", "plaster", (1.0, 1.0), "", ""),), images, {"plaster": (0,)})


def _room(mesh):
    return Room(
        mesh.vertices(),
        mesh.solids(),
        np.array([10.0, 10.0, 10.0]),
        np.zeros((LIGHTS, 6), np.float32),
        np.ones(3, np.float32),
        np.full((SHADOW_SIDE, SHADOW_SIDE), 128, np.uint8),
    )


def test_a_box_has_six_faces_that_look_outwards():
    mesh = Mesh()
    with mesh.at(1, 2, 3, np.pi / 2):
        mesh.box((0, 2), (0, 1), (0, 0.5), Material(3, (0.5, 0.25)))
    faces = mesh.vertices().reshape(6, 4, VERTEX_FLOATS)
    position, normal, texture = faces[..., :3], faces[:, 0, 3:6], faces[..., 6:8]
    # Turned by 90 degrees: x of the box is y of the world, y is -x.
    assert position.reshape(-1, 3).min(0) == pytest.approx([0, 2, 3], abs=1e-6)
    assert position.reshape(-1, 3).max(0) == pytest.approx([1, 4, 3.5], abs=1e-6)
    outwards = position.mean(1) - (0.5, 3, 3.25)
    assert (np.einsum("ni,ni->n", outwards, normal) > 0.2).all()
    assert np.linalg.norm(normal, axis=1) == pytest.approx(1)
    # The texture is as large as it says.
    for face, uv in zip(position, texture, strict=True):
        for corner, axis, size in ((1, 0, 0.5), (2, 1, 0.25)):
            length = np.linalg.norm(face[corner] - face[0])
            assert uv[corner, axis] - uv[0, axis] == pytest.approx(length / size, rel=1e-4)


def test_textures_go_on_across_pieces_of_a_wall():
    mesh = Mesh()
    mesh.box((0, 1.3), (-0.1, 0), (0, 2), Material(0, (0.7, 0.7)))
    mesh.box((1.3, 3), (-0.1, 0), (0.5, 2), Material(0, (0.7, 0.7)))
    faces = mesh.vertices().reshape(12, 4, VERTEX_FLOATS)
    front = faces[faces[:, 0, 4] > 0.5]
    assert len(front) == 2
    at_joint = front[np.isclose(front[..., 0], 1.3) & np.isclose(front[..., 2], 2)]
    assert at_joint[0, 6:8] == pytest.approx(at_joint[1, 6:8], abs=1e-5)


def test_depth_is_that_of_each_pixel_s_center():
    mesh = Mesh()
    mesh.box((-9, 9), (-9, 9), (-0.1, 0), _WHITE)
    pose = cameras.look(np.array([0.5, -0.3, 1.2]), 0.7, -0.9, 0.2)
    draw = renderer.Renderer(_library())
    depth = draw.depth(draw.load(_room(mesh)), _CAMERA, pose)

    v, u = np.mgrid[0:48, 0:64].reshape(2, -1)
    rays = np.column_stack([_CAMERA.normalize(np.stack([u, v], 1)), np.ones(u.size)])
    down = (rays @ pose[:3, :3].T)[:, 2]
    expected = np.where(down < -0.2, -1.2 / down, np.nan).reshape(48, 64)
    seen = np.isfinite(expected)
    assert seen.mean() > 0.8
    assert depth[seen] == pytest.approx(expected[seen], rel=1e-4)


def test_nothing_has_no_depth():
    mesh = Mesh()
    mesh.box((2, 3), (-1, 1), (0, 1), _WHITE)
    draw = renderer.Renderer(_library())
    room = draw.load(_room(mesh))
    away = cameras.look(np.array([0.0, 0.0, 0.5]), np.pi, 0.0, 0.0)
    assert np.isnan(draw.depth(room, _CAMERA, away)).all()


def test_colors_lie_on_the_pixels_of_the_depth():
    black, white = Material(1, (1.0, 1.0), glow=1.0), _WHITE
    mesh = Mesh()
    mesh.box((5, 5.1), (-9, 9), (-9, 9), black)
    low, high = np.array([-0.31, -0.22]), np.array([0.47, 0.13])
    mesh.box((4, 4.1), (low[0], high[0]), (low[1], high[1]), white)
    draw = renderer.Renderer(_library())
    pose = cameras.look(np.zeros(3), 0.0, 0.0, 0.0)
    image = draw.color(draw.load(_room(mesh)), _CAMERA, pose).astype(float).mean(2)

    corners = np.array([[4, low[0], low[1]], [4, high[0], high[1]]])
    left_up, right_down = np.sort(
        _CAMERA.project(transforms.apply(transforms.inverse(pose), corners)), axis=0
    )
    v, u = np.mgrid[0:48, 0:64]
    middle = (image * u).sum() / image.sum(), (image * v).sum() / image.sum()
    assert middle == pytest.approx((left_up + right_down) / 2, abs=0.15)
    # Pixels on the edge have part of the light.
    area = np.prod(right_down - left_up)
    assert image.sum() / 255 == pytest.approx(area, rel=0.1)


def test_a_camera_looks_where_it_is_told_to():
    target = np.array([3.0, 1.0, 0.4])
    pose = cameras.look_at(np.array([1.0, 2.0, 1.5]), target, 0.0)
    assert transforms.is_rigid(pose)
    seen = transforms.apply(transforms.inverse(pose), target + np.array([[0, 0, 0], [0, 0, 0.1]]))
    assert seen[0, :2] == pytest.approx([0, 0], abs=1e-9)
    # What is higher in the world is higher in the image.
    assert seen[1, 1] < -0.05
    assert abs(seen[1, 0]) < 1e-9


def test_no_camera_stands_in_furniture_or_in_a_wall():
    mesh = Mesh()
    with mesh.at(5, 5, 0, 0.7):
        mesh.box((-1, 1), (-0.5, 0.5), (0, 1), _WHITE)
    room = _room(mesh)
    assert not cameras.is_free(room, np.array([5.5, 5.5, 0.5]))
    assert not cameras.is_free(room, np.array([5.5, 5.5, 1.1]))
    assert cameras.is_free(room, np.array([5.5, 5.5, 1.5]))
    assert cameras.is_free(room, np.array([5.9, 4.1, 0.5]))
    assert not cameras.is_free(room, np.array([0.1, 5.0, 1.0]))


def test_nothing_of_the_held_out_textures_is_trained_on():
    libraries = [textures.make_library(3, split) for split in textures.SPLITS]
    names = [{t.name for t in lib.textures if t.source == "miniworld"} for lib in libraries]
    assert len(names[0]) > 20
    assert len(names[1]) > 8
    assert not names[0] & names[1]
    prints = [{image.tobytes() for image in library.images} for library in libraries]
    assert not prints[0] & prints[1]
    for library in libraries:
        assert len(library.images) == len(library.textures) > 250
        assert all(texture.license == "Apache-2.0" for texture in library.textures)
        assert {"plaster", "wild", "spines", "outdoors", "door"} <= library.kinds.keys()


def test_flaws_differ_from_view_to_view():
    ramp = np.linspace(40, 200, 128).astype(np.uint8)
    image = np.repeat(np.broadcast_to(ramp, (96, 128))[..., None], 3, 2)
    first, again, second = (expose(np.random.default_rng(i), image, 1.0) for i in (1, 1, 2))
    assert np.array_equal(first, again)
    difference = np.abs(first.astype(int) - second).mean()
    assert 2 < difference < 120
    for flawed in (first, second):
        assert flawed.shape == image.shape
        # What was bright is still brighter than what was dark.
        assert flawed[:, 100:].mean() > flawed[:, :28].mean() + 20


def test_without_flaws_the_exposure_is_set_alone():
    image = np.full((8, 10, 3), (100, 80, 60), np.uint8)
    result = expose(np.random.default_rng(0), image, 0.0)
    assert (result == result[0, 0]).all()
    assert result.mean() == pytest.approx(115, abs=2)
    assert result[0, 0] / result[0, 0, 0] == pytest.approx([1, 0.8, 0.6], abs=0.02)


def test_without_opengl_the_error_says_what_to_install(monkeypatch):
    def fail(*_, **__):
        raise OSError("libEGL.so not loaded")

    monkeypatch.setattr(moderngl, "create_context", fail)
    with pytest.raises(renderer.NoOpenGL, match=r"libEGL.so not loaded.*apt install libegl1"):
        renderer._context.__wrapped__()


def test_without_its_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "moderngl", None)
    with pytest.raises(renderer.NoOpenGL, match=r"moderngl.*pip install 'mast3r_ros\[train\]'"):
        renderer._context.__wrapped__()


def test_every_texture_has_a_source_and_a_license():
    lines = textures.describe_sources().splitlines()
    library = textures.make_library(3, "held-out")
    for texture in library.textures:
        if texture.source == "miniworld":
            (line,) = (line for line in lines if line.startswith(f"| {texture.name} |"))
            assert "Apache-2.0 | held-out" in line
        else:
            assert any(line.startswith(f"| {texture.kind}, ") for line in lines)


def test_without_the_textures_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(textures.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(textures.TexturesMissing, match="pip install --no-deps miniworld"):
        textures._packaged_folder()
