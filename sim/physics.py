# SPDX-License-Identifier: GPL-3.0-or-later
"""The volumetric head-hand simulation (paper: phy): one `step(frame)` from tracked to physically resolved surfaces."""

import time

import numpy as np
from numpy.typing import NDArray

from ..errors import SimulationError, SurfaceError
from . import rigid
from .anderson import Anderson
from .complementarity import solve_contacts
from .contact import ContactTracker, interpolate
from .distance import TriangleTree
from .elasticity import deformation_gradients, determinant_ratios, gather, tet_forces
from .frame import SimulatedFrame, TrackedFrame
from .membrane import triangle_forces
from .settings import PhysicsSettings
from .surface import Surface, fan_caps
from .system import ElasticSystem
from .template import Template
from .tracking import HeadTracking
from .undisturbed import UndisturbedVolume

_AT_REST = 1e-6  # [m] without contact, what is left of a deformation below this is set to zero
_LEAST_DETERMINANT = 0.05  # tracked tetrahedra flatter than this are asked for this much volume
_CONTACT_SWEEPS = 20
_CONTACT_TOLERANCE = 1e-6  # [m]
_CONVERGED = 2e-6  # [m] largest change of an iteration at which a substep is done
_MAX_TARGET_STEP = 0.003  # [m] a contact moves the skin at most so far in one substep, so that nothing ever pops
_DEEP = 0.05  # [m] how deep a hand may be in the head at the first frame to be noticed
_REACH = 0.005  # [m] hand vertices further than this plus their own motion from the skin need no substeps


class Physics:
    """Projective dynamics of one head with its hands, in the cranium's frame, in the displacement from the undisturbed volume.

    left, right: the hands' surfaces (any pose; topology only). frame_rate [1/s] sets the time between steps.
    Raises SimulationError when no hand is given, SurfaceError when a frame does not fit the surfaces.
    """

    def __init__(
        self,
        template: Template,
        settings: PhysicsSettings,
        *,
        left: Surface | None = None,
        right: Surface | None = None,
        frame_rate: float = 24.0,
    ):
        if left is None and right is None:
            raise SimulationError("There is no hand to simulate.", advice="Choose a left or a right hand.")
        self.template, self.settings, self.frame_rate = template, settings, frame_rate
        self.system = ElasticSystem(template, settings)
        self.undisturbed = UndisturbedVolume(template)
        self.tracking = HeadTracking(template)
        self._hands = [hand for hand in (left, right) if hand is not None]
        self._has = (left is not None, right is not None)
        triangles, offset = [], 0
        for hand in self._hands:
            triangles += [hand.triangles + offset, fan_caps(hand.triangles) + offset]
            offset += len(hand.vertices)
        self.contact = ContactTracker(template.outer, template.skin_triangles, np.concatenate(triangles), offset)

        n, t = len(template.vertices), len(self.system.tets)
        self._u = np.zeros((n, 3))
        self._skin_u = np.zeros((template.n_skin, 3))
        self._f_tra, self._det = np.zeros((t, 3, 3)), np.ones(t)
        self._quaternions = np.zeros((t, 4))
        self._tet_out = np.zeros((t, 4, 3))
        self._triangle_out = np.zeros((len(self.system.triangles), 3, 3))
        self._right, self._skin_right = np.zeros((n, 3)), np.zeros((template.n_skin, 3))
        self._b, self._x = np.zeros((len(self.system.free), 3)), np.zeros((len(self.system.free), 3))
        outer = template.outer[template.skin_triangles].all(axis=1)
        self._skin_tree = TriangleTree(template.skin_vertices, template.skin_triangles[outer])
        self._anderson = Anderson(self._x.size)
        self._ratios = np.ones(t)
        self.reset()

    def reset(self) -> None:
        """Forgets the history: the next step is a first frame."""
        self._u[:] = 0
        self._skin_u[:] = 0
        self._quaternions[:] = (1.0, 0.0, 0.0, 0.0)
        self.contact.reset()
        self._previous: tuple[NDArray, NDArray, NDArray] | None = None
        self._change = 0.0

    def step(self, frame: TrackedFrame) -> SimulatedFrame:
        """Resolves the interaction of one frame; frames are given in order."""
        started = time.perf_counter()
        hands_world = self._check(frame)
        pose = self.tracking.pose(frame)
        hands = rigid.apply(rigid.inverse(pose.cranium), hands_world)
        volume = self.undisturbed.displacement(pose.skin, pose.jaw)
        first = self._previous is None
        previous = (pose.skin, volume, hands) if self._previous is None else self._previous
        self._previous = (pose.skin, volume, hands)

        inside = self._depth_inside(self.template.skin_vertices + pose.skin, hands) if first else 0.0
        substeps = self._count_substeps(previous, (pose.skin, volume, hands), first)
        iterations = 0
        if substeps or self._u.any():
            substeps = max(substeps, 1)
            theta = self._persistence(1.0 / (self.frame_rate * substeps))
            for s in range(1, substeps + 1):
                a = s / substeps
                now = [(1 - a) * old + a * new for old, new in zip(previous, (pose.skin, volume, hands), strict=True)]
                iterations += self._substep(*now, theta, last=s == substeps)
        limited = self._bone_limited if len(self.contact.contacts) else 0
        if len(self.contact.contacts) == 0 and np.abs(self._u).max() < _AT_REST:
            self._u[:] = 0
            self._skin_u[:] = 0
            self._quaternions[:] = (1.0, 0.0, 0.0, 0.0)

        tracked = self.template.refinement @ frame.head.astype(np.float64)
        skin = tracked + self._skin_u @ pose.cranium[:3, :3].T
        statistics = self._statistics(substeps, iterations, limited)
        contacts = np.unique(self.contact.contacts.skin[self.contact.contacts.skin_weights > 0]).astype(np.int32)
        statistics["started_inside_mm"] = 1000 * inside
        statistics["ms"] = 1000 * (time.perf_counter() - started)
        return SimulatedFrame(skin.astype(np.float32), tracked.astype(np.float32), contacts, statistics)

    def _persistence(self, duration: float) -> float:
        """Share θ of the previous deformation in an implicit step of `duration` [s].

        E_dyn = 1/2 c |u - u_before|²_A with c = θ / (1 - θ), chosen so that a deformation held by strain alone decays by
        exp(-duration / relaxation_time), however the time is cut into steps.
        """
        decay = np.exp(-duration / max(self.settings.relaxation_time, 1e-9))
        c = self.system.strain_share * decay / (1 - decay)
        return float(c / (1 + c))

    def _check(self, frame: TrackedFrame) -> NDArray[np.float64]:
        """The hands' vertices of the frame, stacked (n, 3); raises SurfaceError when something does not fit."""
        given = [hand for hand, has in zip((frame.left, frame.right), self._has, strict=True) if has]
        parts = [("head", frame.head, self.template.n_head)]
        parts += [(hand.name, vertices, len(hand.vertices)) for hand, vertices in zip(self._hands, given, strict=True)]
        for name, vertices, expected in parts:
            if vertices is None or len(vertices) != expected:
                count = 0 if vertices is None else len(vertices)
                raise SurfaceError(
                    f"The surface has {count} vertices, the volume was built for {expected}.",
                    object=name, frame=frame.frame, advice="Keep the topology constant, or build the volume again.",
                )  # fmt: skip
            if not np.isfinite(vertices).all():
                bad = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
                raise SurfaceError(
                    "Vertex positions are not finite numbers.",
                    object=name, frame=frame.frame, vertices=bad.tolist(), advice="Look for broken drivers or modifiers.",
                )  # fmt: skip
        return np.concatenate(given).astype(np.float64)

    def _count_substeps(self, old: tuple, new: tuple, first: bool) -> int:
        """Substeps so that no hand vertex near the skin moves further than the step length; 0 when no hand is near."""
        skin = self.template.skin_vertices + new[0]
        low, high = skin.min(axis=0), skin.max(axis=0)
        motion = np.linalg.norm(new[2] - old[2], axis=1)
        reach = (_REACH + motion)[:, None]
        near = ((new[2] > low - reach) & (new[2] < high + reach)).all(axis=1)
        if not near.any():
            return 0
        self._skin_tree.refit(skin)
        distance, _, _, _ = self._skin_tree.closest(new[2][near], _REACH + float(motion.max()))
        near[near] = distance < _REACH + motion[near]
        if not near.any():
            return 0
        if first:
            return self.settings.max_substeps
        return int(np.clip(np.ceil(motion[near].max() / self.settings.step_length), 1, self.settings.max_substeps))

    def _depth_inside(self, skin: NDArray, hands: NDArray) -> float:
        """How deep [m] hands are inside the outer skin before anything was simulated."""
        self._skin_tree.refit(skin)
        distance, _, _, sign = self._skin_tree.closest(hands, _DEEP)
        return float(np.max(distance, where=(sign < 0) & np.isfinite(distance), initial=0.0))

    def _substep(self, skin: NDArray, volume: NDArray, hands: NDArray, theta: float, *, last: bool) -> int:
        """Minimises the energy for one position of skin (n_skin, 3) displacement, volume and hands; returns the iterations."""
        system, settings, template = self.system, self.settings, self.template
        deformation_gradients(volume, system.tets, system.gradients, self._f_tra)
        np.maximum(np.linalg.det(self._f_tra), _LEAST_DETERMINANT, out=self._det)
        tracked = template.skin_vertices + skin
        self.contact.update(tracked + self._skin_u, hands)
        contacts = self.contact.contacts
        m = len(contacts)
        before = self._u[system.free]
        iterate = before.copy()
        self._anderson.restart()
        if m:
            targets = self._targets(tracked, hands)
            normals = self.contact.normals()
            used, local = np.unique(contacts.skin, return_inverse=True)
            local = local.reshape(m, 3)
            response = system.compliance(used)[:, used].astype(np.float64)
            rows = np.zeros((m, len(used)))
            for k in range(3):
                np.add.at(rows, (np.arange(m), local[:, k]), contacts.skin_weights[:, k])
            compliance = rows @ response @ rows.T
            base = interpolate(tracked, contacts.skin, contacts.skin_weights)
            pulled = np.zeros((template.n_skin, 3))

        count = settings.final_iterations if last else settings.iterations
        for iteration in range(1, count + 1):
            self._right_hand_side(tracked)
            np.multiply(self._right[system.free], 1 - theta, out=self._b)
            if m:
                # One solve gives the displacement with last iteration's forces; theirs are then replaced by the new ones.
                system.factor.solve(self._b, self._x)
                self._scatter(self._x + theta * before)
                gap = base + interpolate(self._skin_u, contacts.skin, contacts.skin_weights) - targets
                gap += compliance @ contacts.force
                solve_contacts(
                    compliance, gap, normals, settings.friction, contacts.force, _CONTACT_SWEEPS, _CONTACT_TOLERANCE
                )
                pulled[:] = 0
                np.add.at(pulled, contacts.skin, contacts.skin_weights[:, :, None] * contacts.force[:, None, :])
                self._b += (system.embedding.T @ pulled)[system.free]
            system.factor.solve(self._b, self._x)
            self._x += theta * before
            change = np.abs(self._x - iterate).max()
            if change < _CONVERGED or iteration == count:
                break
            iterate[:] = self._anderson.mix(iterate.ravel(), self._x.ravel()).reshape(-1, 3)
            self._scatter(iterate)
        self._scatter(self._x)
        self._change = change
        self.contact.settle(tracked + self._skin_u, hands, settings.friction)
        return iteration

    def _scatter(self, free: NDArray) -> None:
        self._u[self.system.free] = free
        self._skin_u[:] = self.system.embedding @ self._u

    def _right_hand_side(self, tracked: NDArray) -> None:
        """Sums the projections of tetrahedra and skin triangles at the present u into `_right`."""
        system = self.system
        tet_forces(
            self._u, system.tets, system.gradients, self._f_tra, self._det, system.v_str, system.v_vol,
            self.settings.volume_tolerance, self._quaternions, self._tet_out,
        )  # fmt: skip
        triangle_forces(tracked, self._skin_u, system.triangles, system.skin_gradients, system.w_skin, self._triangle_out)
        self._skin_right[:] = 0
        gather(self._triangle_out.reshape(-1, 3), system.skin_start, system.skin_corners, self._skin_right)
        self._right[:] = system.embedding.T @ self._skin_right
        gather(self._tet_out.reshape(-1, 3), system.tet_start, system.tet_corners, self._right)

    def _targets(self, tracked: NDArray, hands: NDArray) -> NDArray[np.float64]:
        """Where the contacts want their skin points, (m, 3): a gap off the anchors, but never further towards bone than allowed."""
        contacts, template = self.contact.contacts, self.template
        anchors = interpolate(hands, contacts.hand, contacts.hand_weights)
        targets = anchors + self.settings.gap * self.contact.normals()
        present = interpolate(tracked + self._skin_u, contacts.skin, contacts.skin_weights)
        step = targets - present
        length = np.linalg.norm(step, axis=1, keepdims=True)
        targets = present + step * np.minimum(1.0, _MAX_TARGET_STEP / np.maximum(length, 1e-12))
        towards_bone = interpolate(template.bone_direction, contacts.skin, contacts.skin_weights)
        towards_bone /= np.maximum(np.linalg.norm(towards_bone, axis=1, keepdims=True), 1e-12)
        allowed = np.einsum("mk,mk->m", contacts.skin_weights, template.tissue_depth[contacts.skin])
        yielded = targets - interpolate(tracked, contacts.skin, contacts.skin_weights)
        excess = np.einsum("ij,ij->i", yielded, towards_bone) - self.settings.compression_limit * allowed
        self._bone_limited = int((excess > 0).sum())
        return targets - np.maximum(excess, 0.0)[:, None] * towards_bone

    def _statistics(self, substeps: int, iterations: int, limited: int) -> dict[str, float]:
        system = self.system
        result = {
            "substeps": float(substeps),
            "iterations": float(iterations),
            "residual_um": 1e6 * float(self._change),
            "contacts": float(len(self.contact.contacts)),
            "bone_limited": float(limited),
        }
        if substeps:
            determinant_ratios(self._u, system.tets, system.gradients, self._f_tra, self._det, self._ratios)
            low, middle, high = np.percentile(self._ratios, (1, 50, 99))
            result |= {"volume_ratio_p1": low, "volume_ratio_p50": middle, "volume_ratio_p99": high}
            result["inverted_tets"] = float((self._ratios <= 0).sum())
        else:
            result |= {"volume_ratio_p1": 1.0, "volume_ratio_p50": 1.0, "volume_ratio_p99": 1.0, "inverted_tets": 0.0}
        return result
