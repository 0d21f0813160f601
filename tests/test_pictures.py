# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures: the renderer against known shapes, the choice of frames, and whole sheets and videos of a small scene."""

import struct
import zlib

import numpy as np
import pytest
from nephim.bridge.colours import displacement_colours
from nephim.pictures.camera import best_direction, focus
from nephim.pictures.highlights import choose_frames, episodes
from nephim.pictures.images import scale_end, write_png
from nephim.pictures.raster import Light, Model, View, coverage, render, visible


def ball(radius=0.1, centre=(0, 0, 0), rings=24, segments=48):
    polar, around = np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, segments, endpoint=False)
    p, a = (x.ravel() for x in np.meshgrid(polar, around, indexing="ij"))
    vertices = radius * np.column_stack([np.sin(p) * np.cos(a), np.sin(p) * np.sin(a), np.cos(p)]) + centre
    k, j = (x.ravel() for x in np.meshgrid(np.arange(rings - 1), np.arange(segments), indexing="ij"))
    a, b = k * segments + j, k * segments + (j + 1) % segments
    triangles = np.concatenate(
        [np.column_stack([a, a + segments, b]), np.column_stack([b, a + segments, b + segments])]
    )
    return vertices, triangles.astype(np.int32)


def painted(vertices, triangles, colour=(0.5, 0.3, 0.2)):
    return Model(vertices, triangles, np.tile(colour, (len(vertices), 1)))


FRONT = View(np.zeros(3), np.array([0.0, 1, 0]), np.array([0.0, 0, 1]), 0.4, (200, 100))


def read_png(path):
    """Size and lines of a PNG with filter 2, as `write_png` writes it."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + content)
        chunks[kind], at = content, at + 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 3 * width + 1)
    return np.cumsum(lines[:, 1:], axis=0, dtype=np.uint8).reshape(height, width, 3)


def test_png_round_trip(tmp_path):
    image = np.random.default_rng(3).integers(0, 256, (17, 23, 3), np.uint8)
    write_png(tmp_path / "a.png", image)
    assert np.array_equal(read_png(tmp_path / "a.png"), image)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_unwritable_place_is_named(tmp_path):
    from nephim.errors import CacheError

    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="could not be written"):
        write_png(tmp_path / "file" / "a.png", np.zeros((2, 2, 3), np.uint8))


def test_ball_covers_its_disc():
    vertices, triangles = ball()
    model, triangle = visible([painted(vertices, triangles)], FRONT)
    pixel = FRONT.height / 100
    assert (model == 0).sum() * pixel**2 == pytest.approx(np.pi * 0.1**2, rel=0.02)
    assert ((triangle >= 0) == (model == 0)).all()


def test_nearer_surface_hides_the_other():
    far, near = ball(), ball(0.03, (0, -0.2, 0))
    model, _ = visible([painted(*far), painted(*near)], FRONT)
    assert model[50, 100] == 1 and model[50, 115] == 0 and model[0, 0] == -1


def test_picture_has_its_size_light_and_shadow():
    image = render([painted(*ball())], FRONT)
    assert image.shape == (100, 200, 3) and image.dtype == np.uint8
    lit, dark = image[35, 88].astype(int), image[65, 112].astype(int)
    assert lit.sum() > dark.sum() + 60  # the key light comes from the upper left
    assert np.array_equal(image, render([painted(*ball())], FRONT))
    mirrored = render([painted(*ball())], FRONT, Light().mirrored())
    assert np.abs(mirrored[:, ::-1].astype(int) - image).mean() < 2


def test_ball_in_the_way_throws_a_shadow():
    ground = np.array([[-0.3, 0, -0.3], [0.3, 0, -0.3], [0.3, 0, 0.3], [-0.3, 0, 0.3]])
    plane = painted(ground, np.array([[0, 1, 2], [0, 2, 3]], np.int32))
    alone = render([plane], FRONT).astype(int)
    shaded = render([plane, painted(*ball(0.03, (-0.04, -0.08, 0.04)))], FRONT).astype(int)
    key = Light().key
    # The light's ray through the ball's centre meets the plane here.
    x, z = -0.04 - 0.08 * key[0] / key[2], 0.04 - 0.08 * key[1] / key[2]
    column, row = round(100 + x / 0.004), round(50 - z / 0.004)
    assert alone[row, column].sum() > shaded[row, column].sum() + 60


def test_empty_picture_is_background():
    image = render([], FRONT)
    assert image.shape == (100, 200, 3) and (image == image[:, :1]).all()


def test_coverage_is_the_area():
    square = np.array([[1.5, 1.25], [6.0, 1.25], [6.0, 4.5], [1.5, 4.5]])
    mask = coverage(square, np.array([[0, 1, 2], [0, 2, 3]]), 8, 6)
    assert mask.sum() == pytest.approx(4.5 * 3.25) and mask.max() == 1


def test_colours_darken_evenly_and_clamp():
    colours = displacement_colours(np.linspace(0, 1, 50))
    lightness = np.cbrt(colours @ [0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) < 1e-3).all()
    assert np.array_equal(displacement_colours(np.array([-1.0, 2.0])), colours[[0, -1]])


def test_scale_ends_on_round_numbers():
    assert [scale_end(v) for v in (0.0041, 0.0118, 0.015, 0.016)] == pytest.approx([0.005, 0.015, 0.015, 0.02])


def test_each_contact_gives_its_strongest_frame():
    values = np.zeros(100)
    for peak, height in ((10, 5e-3), (40, 9e-3), (80, 3e-3)):
        values[peak - 3 : peak + 4] = height * np.array([0.3, 0.6, 0.9, 1, 0.9, 0.6, 0.3])
    assert len(episodes(values)) == 3
    assert choose_frames(values, 3) == [10, 40, 80]
    assert choose_frames(values, 2) == [10, 40]
    six = choose_frames(values, 6)
    assert len(six) == 6 and {10, 40, 80} <= set(six) and (values[six] > 0.5e-3).all()


def test_contacts_that_run_into_each_other_are_parted():
    values = np.concatenate([np.linspace(0, 8, 10), np.linspace(8, 1, 10), np.linspace(1, 6, 10), np.linspace(6, 0, 9)])
    assert len(episodes(values * 1e-3)) == 2


@pytest.mark.parametrize("count", [0, 1, 4, 20])
def test_choice_works_without_contact(count):
    chosen = choose_frames(np.zeros(count), 6)
    assert len(chosen) == min(count, 6) and chosen == sorted(set(chosen))


def test_camera_goes_where_the_dent_is_seen():
    vertices, triangles = ball()
    displacement = np.where(vertices[:, 0] > 0.09, 0.01, 0.0)
    centre, extent = focus(vertices, displacement)
    assert centre[0] > 0.09 and extent < 0.1
    front, up = np.array([0.0, -1, 0]), np.array([0.0, 0, 1])
    found = best_direction(painted(vertices, triangles), [], displacement, front, up, np.zeros(3), 0.3)
    assert found[0] > 0.4
    corners = np.array([[0.2, -1, -1], [0.2, 0, -1], [0.2, 0, 1], [0.2, -1, 1.0]])
    wall = painted(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    other = best_direction(painted(vertices, triangles), [wall], displacement, front, up, np.zeros(3), 0.3)
    assert not np.allclose(found, other)


@pytest.fixture
def simulated(tmp_path):
    """A saved scene with a simulated dent; returns (scene, folder)."""
    import importlib.util
    from pathlib import Path

    import bpy

    spec = importlib.util.spec_from_file_location("scenes", Path(__file__).parent / "scenes.py")
    scenes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scenes)
    scenes.build()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "test.blend"))
    scene = bpy.context.scene
    scene.timeline_markers.new("poke", frame=2)
    scenes.simulate(scene, tmp_path / "test.nephim" / "simulation.pc2")
    return scene, tmp_path


def contents():
    """Everything in the file that a picture could leave behind."""
    import bpy

    return {
        name: sorted(block.name for block in getattr(bpy.data, name))
        for name in ("scenes", "objects", "meshes", "curves", "images", "materials", "cameras", "lights", "fonts")
    }


@pytest.mark.bpy
def test_contact_sheet(simulated):
    from nephim.pictures.contact_sheet import contact_sheet_job, gesture_name
    from nephim.progress import drive

    scene, folder = simulated
    scene.frame_set(7)
    before = contents()
    path = drive(contact_sheet_job(scene, folder / "sheet.png"))
    image = read_png(path)
    assert 2300 <= image.shape[1] <= 2500 and image.shape[0] > 1500
    assert image.std() > 20
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 5000
    after = contents()
    after["fonts"] = before["fonts"] = []  # Blender's built-in font appears with the first text
    assert after == before and scene.frame_current == 7
    assert gesture_name(scene, 1) == "" and gesture_name(scene, 5) == "poke"


@pytest.mark.bpy
def test_video(simulated):
    import bpy
    from nephim.pictures.video import video_job
    from nephim.progress import drive

    scene, folder = simulated
    path = drive(video_job(scene, folder / "demo.mp4"))
    assert sorted(p.name for p in folder.glob("*demo*")) == ["demo.mp4"]
    assert [s.name for s in bpy.data.scenes] == [scene.name]
    clip = bpy.data.movieclips.load(str(path))
    assert tuple(clip.size) == (960, 540) and clip.frame_duration == 10


@pytest.mark.bpy
def test_closing_a_picture_job_restores_the_scene(simulated):
    from nephim.pictures.contact_sheet import contact_sheet_job

    scene, folder = simulated
    scene.frame_set(3)
    job = contact_sheet_job(scene, folder / "sheet.png")
    for _ in range(4):
        next(job)
    job.close()
    assert scene.frame_current == 3 and not (folder / "sheet.png").exists()


def layered_ball():
    """A template of a ball of 10 cm with a cranium of 6 cm and no jaw, filled by Delaunay tetrahedra."""
    from nephim.sim.template import CRANIUM, Template
    from scipy.sparse import csr_matrix, identity
    from scipy.spatial import ConvexHull, Delaunay

    skin, bone = np.unique(ball()[0].round(9), axis=0), np.unique(ball(0.06)[0].round(9), axis=0)
    vertices = np.concatenate([skin, bone, np.zeros((1, 3))])
    tets = Delaunay(vertices).simplices.astype(np.int32)
    a, b, c, d = (vertices[tets[:, k]] for k in range(4))
    volume = np.einsum("ij,ij->i", np.cross(b - a, c - a), d - a)
    tets[volume < 0] = tets[volume < 0][:, [0, 2, 1, 3]]
    tets = tets[np.abs(volume) > 1e-12]
    within = np.linalg.norm(vertices[tets].mean(axis=1), axis=1) < 0.058
    hull = ConvexHull(skin).simplices.astype(np.int32)
    outward = np.cross(skin[hull[:, 1]] - skin[hull[:, 0]], skin[hull[:, 2]] - skin[hull[:, 0]])
    turned = np.einsum("ij,ij->i", outward, skin[hull[:, 0]]) < 0
    hull[turned] = hull[turned][:, ::-1]
    n = len(skin)
    return Template(
        head_vertices=skin,
        refinement=identity(n, format="csr"),
        skin_vertices=skin,
        skin_triangles=hull,
        vertices=vertices,
        tets=tets,
        tet_region=np.where(within, CRANIUM, 0).astype(np.uint8),
        vertex_region=np.zeros(len(vertices), np.uint8),
        embedding=csr_matrix((n, len(vertices))),
        rim=np.zeros(n, bool),
        outer=np.ones(n, bool),
        tissue_depth=np.full(n, 0.04),
        bone_direction=-skin / 0.1,
        tet_stiffness=np.ones(len(tets)),
        jaw_vertices=np.zeros((0, 3)),
        jaw_triangles=np.zeros((0, 3), np.int32),
        cranium_vertices=bone,
        cranium_triangles=np.zeros((0, 3), np.int32),
    )


@pytest.mark.bpy
def test_cut_picture_shows_the_layers(tmp_path):
    from nephim.pictures.cut_picture import cut_picture_job, picture, three_cuts
    from nephim.progress import drive

    template = layered_ball()
    image = read_png(drive(cut_picture_job(template, tmp_path / "cut.png")))
    assert image.shape[1] == 2400 and image.std() > 20
    cell = picture(template, three_cuts(template)[0]).astype(int)
    height, width, _ = cell.shape
    centre, between = cell[height // 2, width // 2], cell[height // 2, int(width * 0.86)]
    assert abs(centre[0] - centre[2]) < 60  # bone is pale
    assert between[0] > between[2] + 80  # tissue is red
