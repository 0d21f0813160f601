# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic takes of every family: a head, and a finger that presses 6 mm into its cheek, four frames, as files."""

from functools import cache

import numpy as np
from nephim.tracks.exported import FORMAT
from nephim.tracks.face_capture import EXPRESSIONS
from scenes import hand_arrays
from synthetic_head import synthetic_head
from test_face_capture import table, timecodes
from test_tracks_meshes import mdd_bytes, obj_text, pc2_bytes, ply_bytes
from test_tracks_models_scene import carried, model_fields
from test_tracks_pickles import whole
from test_tracks_scene import triangles

GAPS = (0.05, 0.03, 0.001, -0.006)  # [m] between the fingertip and the cheek
FRAMES = len(GAPS)
RATE = 24
Y_UP = ((0, 2, 1), (1, 1, -1))  # axes and signs from z up to y up, the face along +z
CAMERA = ((0, 2, 1), (1, -1, 1))  # to y down and the face towards a camera that looks along +z


@cache
def head():
    """Vertices (n, 3) and triangles; z up, metres."""
    surface = synthetic_head(0.014)
    return surface.vertices.astype(np.float32), surface.triangles


@cache
def finger(side="left"):
    """Vertices (f, n, 3), triangles, and the way (f, 3) from the first frame of a finger along x."""
    (skin, faces), (vertices, _) = hand_arrays(), head()
    sign = 1 if side == "left" else -1
    skin, corners = skin[:, [2, 0, 1]] * np.float32([-sign, 1, 1]), triangles(faces)
    beside = vertices[sign * vertices[:, 0] > 0]
    cheek = beside[np.linalg.norm(beside[:, 1:] - [-0.045, -0.05], axis=1).argmin()]
    tip = (sign * skin[:, 0]).min()
    way = np.array([[sign * (sign * cheek[0] + gap - tip), *cheek[1:]] for gap in GAPS], np.float32)
    return skin + way[0], corners[:, ::-1] if side == "left" else corners, way - way[0]


def moving(side="left"):
    vertices, faces, way = finger(side)
    return (vertices + way[:, None]).astype(np.float32), faces


def turned(vertices, axes):
    return vertices[..., axes[0]] * np.float32(axes[1])


def heads(axes=((0, 1, 2), (1, 1, 1))):
    return np.repeat(turned(head()[0], axes)[None], FRAMES, 0)


def arrays(folder):
    hands, faces = moving()
    np.savez(
        folder / "take.npz", head_vertices=heads(), head_faces=head()[1], left_vertices=hands, left_faces=faces,
        fps=RATE,
    )  # fmt: skip


def exported(folder):
    hands, faces = moving()
    np.savez(
        folder / "exported.npz", format=FORMAT, fps=float(RATE), head_tracked=heads(), head_deformed=heads(),
        head_faces=head()[1], left_tracked=hands, left_faces=faces, left_missing=np.zeros(FRAMES, bool),
    )  # fmt: skip


def meshes(folder):
    (folder / "folder").mkdir()
    hands, faces = moving()
    for k in range(FRAMES):
        (folder / "folder" / f"head_{k:04}.obj").write_text(obj_text(head()[0], head()[1]))
        (folder / "folder" / f"left_{k:04}.ply").write_bytes(ply_bytes(hands[k], faces))


def _models(folder):
    hands, faces = moving()
    (folder / "head.obj").write_text(obj_text(*head()))
    (folder / "hand.obj").write_text(obj_text(hands[0], faces))
    return hands


def pc2(folder):
    (folder / "left_hand.pc2").write_bytes(pc2_bytes(_models(folder)))
    (folder / "head.pc2").write_bytes(pc2_bytes(heads()))


def mdd(folder):
    (folder / "left_hand.mdd").write_bytes(mdd_bytes(_models(folder), RATE))
    np.save(folder / "head.npy", heads())


def scene_file(path):
    """Alembic or USD, exported by Blender from an imported take."""
    import bpy
    from test_tracks_scene import nephim

    arrays(path.parent)
    assert nephim("import", path.parent / "take.npz", "-o", path.parent / "source.blend") == 0
    if path.suffix == ".abc":
        bpy.ops.wm.alembic_export(filepath=str(path), start=1, end=FRAMES, as_background_job=False)
    else:
        bpy.ops.wm.usd_export(filepath=str(path), export_animation=True, convert_orientation=True)


def mano(path, side="right"):
    vertices, faces, _ = finger(side)
    fields = model_fields(turned(vertices, Y_UP), faces, carried(len(vertices), 16, 0))
    path.write_bytes(whole({**fields, "hands_components": np.eye(45), "hands_mean": np.zeros(45)}))


def flame(path):
    vertices, faces = head()
    path.write_bytes(whole(model_fields(turned(vertices, Y_UP), faces, carried(len(vertices), 5, 1))))


def hand_parameters(path):
    np.savez(
        path, hand_pose=np.zeros((FRAMES, 45)), global_orient=np.zeros((FRAMES, 3)), betas=np.zeros(10),
        transl=turned(finger("right")[2], Y_UP),
    )  # fmt: skip


def mano_take(folder):
    mano(folder / "MANO_RIGHT.pkl")
    hand_parameters(folder / "right.npz")
    np.savez(folder / "head.npz", vertices=heads(Y_UP), faces=head()[1])


def flame_take(folder):
    mano_take(folder)
    flame(folder / "generic_model.pkl")
    np.savez(
        folder / "face.npz", jaw_pose=np.zeros((FRAMES, 3)), global_orient=np.zeros((FRAMES, 3)), betas=np.zeros(100),
        expression=np.zeros((FRAMES, 50)), transl=np.zeros((FRAMES, 3)),
    )  # fmt: skip


def vhap(folder):
    mano_take(folder)
    flame(folder / "flame2023.pkl")
    sizes = {"translation": 3, "rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "expr": 100}
    np.savez(
        folder / "tracked_flame_params.npz", shape=np.zeros(300), **{n: np.zeros((FRAMES, s)) for n, s in sizes.items()}
    )


def decaf(folder):
    mano(folder / "MANO_RIGHT.pkl")
    flame(folder / "generic_model.pkl")
    zero = {"global_orient": np.zeros(3), "transl": np.zeros(3)}
    face = {**zero, "shape_params": np.zeros(100), "pose_params": np.zeros(6), "expression_params": np.zeros(50)}
    hand = {**zero, "hand_pose": np.zeros(45), "betas": np.zeros(10)}
    way = turned(finger("right")[2], Y_UP).astype(float)
    take = {k: {"head": face, "right_hand": {**hand, "transl": way[k]}} for k in range(FRAMES)}
    place = folder / "test" / "params" / "S3"
    place.mkdir(parents=True)
    (place / "params_smoothed.pkl").write_bytes(whole(take))
    deformed = folder / "test" / "deformations" / "S3"
    deformed.mkdir(parents=True)
    np.save(deformed / "deforms.npy", np.zeros((FRAMES, *head()[0].shape), np.float32))


def detections(folder):
    """Hands of HaMeR in the camera's axes, a head beside them in the same."""
    mano(folder / "MANO_RIGHT.pkl")
    np.savez(folder / "head.npz", vertices=heads(CAMERA), faces=head()[1])
    vertices, _, way = finger("right")
    np.savez(
        folder / "hands.npz", pred_vertices=np.repeat(turned(vertices, CAMERA)[None], FRAMES, 0),
        pred_cam_t_full=turned(way, CAMERA), is_right=np.ones(FRAMES), frame=np.arange(FRAMES),
    )  # fmt: skip


SWING = (0.7, 0.5, 0.25, 0.0)  # [rad] about the wrist, until the left fingertip is 6 mm in the cheek


def body(path, joints, axes):
    """A model of SMPL-H (52 joints) or SMPL-X (55): a head, and fingers as hands, the right one hanging far below."""
    left, corners, way = finger("left")
    right, other, _ = finger("right")
    parts = [(head()[0], head()[1], 15), (left + way[-1], corners, 20), (right - [0, 0, 0.8], other, 21)]
    starts = np.cumsum([0, *(len(vertices) for vertices, *_ in parts)])
    skin = np.concatenate([vertices for vertices, *_ in parts])
    faces = np.concatenate([faces + start for (_, faces, _), start in zip(parts, starts, strict=False)])
    fields = model_fields(
        turned(skin, axes), faces, np.concatenate([carried(len(vertices), joints, by) for vertices, _, by in parts])
    )
    base = np.arange(len(skin)) == starts[1] + left[:, 0].argmax()
    fields["J_regressor"][20] = base
    np.savez(path, **fields)


def amass(folder):
    body(folder / "SMPLH_male.npz", 52, ((0, 1, 2), (1, 1, 1)))
    poses = np.zeros((FRAMES, 156))
    poses[:, 3 * 20 + 2] = SWING
    np.savez(
        folder / "take_poses.npz", poses=poses, trans=np.zeros((FRAMES, 3)), betas=np.zeros(10), mocap_framerate=24.0
    )


def stageii(folder):
    body(folder / "SMPLX_NEUTRAL.npz", 55, ((0, 1, 2), (1, 1, 1)))
    poses = np.zeros((FRAMES, 165))
    poses[:, 3 * 20 + 2] = SWING
    np.savez(
        folder / "take_stageii.npz", poses=poses, trans=np.zeros((FRAMES, 3)), betas=np.zeros(10), mocap_frame_rate=24.0
    )


def smplx(folder):
    body(folder / "SMPLX_NEUTRAL.npz", 55, Y_UP)
    pose = np.zeros((FRAMES, 63))
    pose[:, 3 * 19 + 1] = SWING
    np.savez(
        folder / "take.npz", body_pose=pose, global_orient=np.zeros((FRAMES, 3)), transl=np.zeros((FRAMES, 3)),
        betas=np.zeros(10), expression=np.zeros((FRAMES, 10)), left_hand_pose=np.zeros((FRAMES, 45)),
    )  # fmt: skip


def character(folder):
    """A head with two of ARKit's keys, a keyed finger at its cheek, and a capture that opens the eyes."""
    import bpy
    from scenes import mesh_object
    from test_face_capture_scene import add_keys

    scene = bpy.context.scene
    scene.render.fps, scene.frame_start, scene.frame_end = RATE, 1, FRAMES
    face, (vertices, faces, way) = mesh_object(scene, "Head", head()[0], head()[1].tolist()), finger()
    add_keys(face, "eyeBlinkLeft", "jawOpen")
    for key in face.data.shape_keys.key_blocks[1:]:
        moved = head()[0].copy()
        moved[moved[:, 2] > 0.08] += [0, 0, 0.002]  # far from the cheek
        key.points.foreach_set("co", moved.ravel())
    hand = mesh_object(scene, "Finger", vertices, faces.tolist())
    for k, at in enumerate(way):
        hand.location = at
        hand.keyframe_insert("location", frame=1 + k)
    scene.nephim.head, scene.nephim.left, scene.nephim.neutral_frame = face, hand, 1
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "character.blend"))
    values = np.zeros((FRAMES, len(EXPRESSIONS)))
    values[:, EXPRESSIONS.index("eyeBlinkLeft")] = np.linspace(0, 1, FRAMES)
    seconds = table(timecodes(2 * FRAMES - 1, 60, 30 / RATE), np.repeat(values, 2, 0)[:-1])
    (folder / "take.csv").write_text(seconds)


def landmarks(folder):
    """Landmarks of a left hand whose index finger presses into the cheek, with a head in the same axes."""
    from test_hand_skeleton import flat_hand

    hand = flat_hand() @ [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]  # fingers along -x, thumb to the front
    for root in (9, 13, 17):  # fingers that are drawn in
        hand[root + 1 : root + 4] = hand[root] + 0.4 * (hand[root + 1 : root + 4] - hand[root])
    tip, (_, _, way) = hand[8], finger()
    cheek = finger()[0][:, 0].min() - GAPS[0]
    reach = 0.0067  # of the skin over the landmark in the fingertip
    start = np.array([cheek + GAPS[0] + reach, *finger()[0].mean(0)[1:]]) - tip
    moving = turned((hand + start + way[:, None]).astype(np.float32), Y_UP)
    np.savez(folder / "landmarks.npz", left_hand=moving, fps=RATE)
    np.savez(folder / "head.npz", vertices=heads(Y_UP), faces=head()[1])
