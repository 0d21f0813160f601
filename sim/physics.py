# SPDX-License-Identifier: GPL-3.0-or-later
"""The volumetric head-hand simulation (paper: phy): one `step(frame)` from tracked to physically resolved surfaces."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .contact.bone_limit import lift_off_bone
from .contact.contact_solver import ContactProblem
from .contact.contacts import Contacts, interpolate
from .contact.grip import Grip
from .contact.obstacles import Nearby, Obstacles
from .contact.pinch import PinchTracker
from .contact.stops import Bone, contact_problem, hand_rows, obstacle_rows, reach_over
from .contact.tracker import ContactTracker
from .frame import SimulatedFrame, TrackedFrame
from .geometry import rigid
from .geometry.clearance import Clearance
from .geometry.points import add_scaled, farthest_move, largest_difference, shorten_moves
from .geometry.surface import Surface
from .geometry.triangle_bvh import TriangleTree
from .hand_flesh import HandFlesh
from .hand_jumps import jumped_hands
from .hands import Hands
from .settings import PhysicsSettings
from .solver.anderson import Anderson
from .solver.histogram import percentiles
from .solver.local_step import LocalStep
from .solver.pressure import pressure_cells
from .solver.sparse import put, take
from .solver.system import ElasticSystem
from .solver.undisturbed import UndisturbedVolume
from .solver.unfolding import Unfolding
from .template import Template
from .tracking import HeadTracking, Pose
from .tuning import DEFAULT, Tuning

_NO_VERTICES: NDArray[np.float64] = np.zeros((0, 3))
_PERCENTILES = np.array([0.01, 0.5, 0.99])  # of the volume ratios in the statistics


class Physics:
    """Projective dynamics of one head with its hands, in the cranium's frame, in the displacement from the
    undisturbed volume.

    left, right: the hands' surfaces, obstacles: what skin is kept off where frames have it (any pose; topology only).
    teeth: whether it is kept off those of the template's skull as well. yielding_hands: whether flesh of the hands is
    compressed where they press. frame_rate [1/s]: sets the time between steps.
    Raises SimulationError when no hand is given, SurfaceError when a frame does not fit the surfaces.
    """

    def __init__(
        self,
        template: Template,
        settings: PhysicsSettings,
        *,
        left: Surface | None = None,
        right: Surface | None = None,
        obstacles: Surface | None = None,
        teeth: bool = True,
        frame_rate: float = 24.0,
        tuning: Tuning = DEFAULT,
        yielding_hands: bool = False,
    ):
        self.template, self.settings, self.frame_rate = template, settings, frame_rate
        self.tuning, gap = tuning, settings.gap
        self.system = ElasticSystem(template, settings)
        self.undisturbed = UndisturbedVolume(template)
        self.tracking = HeadTracking(template)
        self.hands = Hands(template, left, right)
        self.pinch = PinchTracker(self.hands.owner, tuning.pinch, gap)
        # Skin that is held, as the rim is, cannot yield: no partner for a hand.
        movable = np.diff(self.system.free_embedding.indptr) > 0
        self._yielding = template.outer & movable
        self.contact = ContactTracker(
            self._yielding,
            template.skin_vertices,
            template.skin_triangles,
            self.hands.vertices,
            self.hands.triangles,
            tuning.contact,
            gap,
        )
        self._flesh = HandFlesh(self.hands.simulated, template, settings) if yielding_hands else None
        self._grip = Grip.of(template, settings)
        rows = template.teeth if teeth else None
        self.obstacles: Obstacles | None = None
        if obstacles is not None or rows is not None:
            self.obstacles = Obstacles(obstacles, template.outer, movable, settings, tuning, rows)

        n = len(template.vertices)
        self._local = LocalStep(self.system, settings)
        self.cells = pressure_cells(self.system, settings)
        self._u, self._skin_u = np.zeros((n, 3)), np.zeros((template.n_skin, 3))
        # Of the free vertices: right-hand side, solution, iterate, and the displacement a substep began with.
        self._b, self._x, self._iterate, self._u_before = np.zeros((4, len(self.system.free), 3))
        outer = template.skin_triangles[template.outer[template.skin_triangles].all(axis=1)]
        self._skin_tree = TriangleTree(template.skin_vertices, outer)
        self._clearance = Clearance(len(self.hands.vertices), tuning.contact.deepest * gap)
        self._posed: NDArray | None = None
        self._anderson = Anderson(self._x.size)
        self._unfolding = Unfolding(self.system, template, settings)
        self._mobility = np.zeros(n)
        self.reset()

    def reset(self) -> None:
        """Forgets the history: the next step is a first frame."""
        self._settle()
        self.contact.reset()
        self.pinch.reset()
        self._clearance.forget()
        self._last_pose: tuple[NDArray, NDArray, NDArray, NDArray] | None = None
        self._jaw = np.eye(4)
        self._last_frame: TrackedFrame | None = None
        self._given: NDArray | None = None  # how far the flesh of the hands gives
        self._change = self._lifted = self._longest = self._started_inside = 0.0

    def _settle(self) -> None:
        """Nothing is displaced any more."""
        self._u[:] = 0
        self._skin_u[:] = 0
        self._local.restart()
        if self.cells is not None:
            self.cells.reset()

    def step(self, frame: TrackedFrame, between: Sequence[TrackedFrame] = ()) -> SimulatedFrame:
        """Resolves the interaction of one frame; frames are given in order.

        between: moments on the way from the frame before, by their time; without any, everything moves straight.
        """
        started = time.perf_counter()
        tuning, gap = self.tuning.step, self.settings.gap
        hands = self.hands.read(frame)
        before, self._last_frame = self._last_frame, frame
        jumped = jumped_hands(before, frame, 1.0 / self.frame_rate)
        substeps = iterations = 0
        share = 1.0  # of the frame
        if before is not None and len(between):
            times = np.array([before.time, *(moment.time for moment in between), frame.time])
            *shares, share = np.diff(times) / (frame.time - before.time)
            for moment, part in zip(between, shares, strict=True):
                counts = self._advance(moment, self.hands.read(moment), self.frame_rate / part, np.zeros_like(jumped))
                substeps, iterations = substeps + counts[0], iterations + counts[1]
        counts = self._advance(frame, hands, self.frame_rate / share, jumped)
        substeps, iterations = substeps + counts[0], iterations + counts[1]
        pose = self.tracking.pose(frame)
        if len(self.contact.contacts) == 0 and np.abs(self._u).max() < tuning.at_rest * gap:
            self._settle()
            if not substeps:
                self._rest(pose)

        tracked = self.tracking.refined(frame.head)
        skin = tracked + self._skin_u @ pose.cranium[:3, :3].T
        statistics = self._statistics(substeps, iterations)
        contacts = np.unique(self.contact.contacts.skin[self.contact.contacts.skin_weights > 0]).astype(np.int32)
        statistics["started_inside_mm"] = 1000 * self._started_inside
        statistics |= {f"cut_{side}": 1.0 for side, cut in zip(self.hands.sides, jumped, strict=True) if cut}
        statistics["ms"] = 1000 * (time.perf_counter() - started)
        inner = None if self.obstacles is None else rigid.apply(pose.cranium, self._last_pose[3])  # type: ignore[index]
        given = {} if self._given is None else self.hands.moved(frame, self._given @ pose.cranium[:3, :3].T)
        return SimulatedFrame(skin.astype(np.float32), tracked.astype(np.float32), contacts, statistics, inner, **given)

    def _rest(self, pose: Pose) -> None:
        """Leaves nothing of earlier frames but where the hands were: a run that begins here goes on alike."""
        self.pinch.end()
        assert self._last_pose is not None
        if not np.array_equal(self._last_pose[0], pose.skin) or not np.array_equal(self._jaw, pose.jaw):
            self._last_pose = (pose.skin, self.undisturbed.displacement(pose.skin, pose.jaw), *self._last_pose[2:])
            self._jaw, self._bone_direction = pose.jaw, pose.bone_direction

    def _advance(
        self, frame: TrackedFrame, tracked_hands: NDArray, rate: float, jumped: NDArray[np.bool_]
    ) -> tuple[int, int]:
        """Moves on to the surfaces of `frame` within 1 / rate [s]; returns the substeps and iterations it took.

        tracked_hands: (n, 3) those of the frame; jumped: (1 or 2,) hands that did not move there, see `jumped_hands`.
        """
        tuning, gap = self.tuning.step, self.settings.gap
        pose = self.tracking.pose(frame)
        hands = rigid.apply(rigid.inverse(pose.cranium), tracked_hands)
        obstacles = _NO_VERTICES if self.obstacles is None else self.obstacles.placed(frame, pose)
        first = self._last_pose is None
        if self._last_pose is not None and self._keeps_still(pose):
            skin, inside = self._last_pose[:2]  # a face that keeps still needs nothing computed anew
        else:
            skin, inside = pose.skin, self.undisturbed.displacement(pose.skin, pose.jaw)
            self._jaw, self._bone_direction = pose.jaw, pose.bone_direction
        self._pose(skin)
        gave, yielded = self._given, hands
        if self._flesh is not None:
            self._given = self._flesh.give(self._skin_tree, hands, self._bone_direction, self._clearance)
            yielded = hands if self._given is None else hands + self._given
        now = (skin, inside, yielded, obstacles)
        previous = self._last_pose or now
        were = hands if first else previous[2] if gave is None else previous[2] - gave  # flesh that gives is no motion
        self._last_pose = now
        new_hands = np.full(len(hands), first) | jumped[self.hands.owner]
        if jumped.any():  # such a hand starts anew where it is
            previous = (*previous[:2], np.where(new_hands[:, None], yielded, previous[2]), previous[3])
            were = np.where(new_hands[:, None], hands, were)
            self.contact.forget(new_hands)
            self.pinch.forget(jumped)

        self.pinch.watch(hands, 1.0 / rate)
        self._started_inside = self._depth_inside(hands, new_hands) if new_hands.any() else 0.0
        substeps = self._count_substeps(were, hands, new_hands)
        iterations = 0
        if not substeps and len(self.contact.contacts) == 0 and np.abs(self._u).max() < tuning.fading * gap:
            decay = self._decay(1.0 / rate)
            self._u *= decay
            self._skin_u *= decay
        elif substeps or self._u.any():
            substeps = max(substeps, 1)
            duration = 1.0 / (rate * substeps)
            theta = self.system.persistence(self._decay(duration))
            fade = self._decay(tuning.slowest_decay * duration)
            self._longest = tuning.longest * gap
            if not new_hands.any():
                moved = max(farthest_move(previous[0], skin), farthest_move(were, hands))
                self._longest = min(self._longest, tuning.speed_limit(rate * moved) * duration)
            for s in range(1, substeps + 1):
                a = s / substeps
                skin, inside, hand, inner = (
                    new if old is new or len(old) != len(new) or s == substeps else (1 - a) * old + a * new
                    for old, new in zip(previous, now, strict=True)
                )
                if len(self.contact.contacts) == 0:
                    self._unfolding.relax(self._u, self._skin_u, fade, duration)
                iterations += self._substep(skin, inside, hand, inner, theta, last=s == substeps)
        if not substeps:
            self.contact.nothing_near()
        else:
            live = self.contact.contacts
            carried = np.linalg.norm(self._carried(live), axis=1)
            self.pinch.update(live, hands, self.contact.normals(), carried, self.settings.pull_limit, 1.0 / rate)
        return substeps, iterations

    def _keeps_still(self, pose: Pose) -> bool:
        """Whether neither skin nor jaw moved in the cranium's frame since the last pose that was taken over."""
        assert self._last_pose is not None
        moved = max(largest_difference(pose.skin, self._last_pose[0]), np.abs(pose.jaw - self._jaw).max())
        return bool(moved < self.tuning.step.at_rest * self.settings.gap)

    def _decay(self, duration: float) -> float:
        """What is left after `duration` [s] of a deformation that relaxes freely."""
        return float(np.exp(-duration / max(self.settings.relaxation_time, 1e-9)))

    def _pose(self, skin: NDArray) -> NDArray[np.float64]:
        """The tracked skin (n_skin, 3) for its displacement from rest, with the tree that is asked for it."""
        if skin is not self._posed:
            self._posed = skin
            self._skin_tree.refit(self.template.skin_vertices + skin)
        return self._skin_tree.vertices

    def _count_substeps(self, before: NDArray, hands: NDArray, new_hands: NDArray) -> int:
        """Substeps so that no hand vertex near the skin moves further than the step length; 0 when no hand is near.

        new_hands: (n_hand,) vertices of hands without history, see `StepTuning.first_substeps`.
        """
        reach = self.tuning.step.reach * self.settings.gap
        motion = np.sqrt(((hands - before) ** 2).sum(axis=1))
        near, distance, *_ = self._clearance.near(self._skin_tree, hands, reach + motion)
        near = near[distance < reach + motion[near]]  # the depth of the hand is the skin's business, not its own
        if len(near) == 0:
            return 0
        wanted = int(np.ceil(motion[near].max() / self.settings.step_length))
        least = self.tuning.step.first_substeps if new_hands[near].any() else 1
        return min(max(wanted, least), self.settings.max_substeps)

    def _depth_inside(self, hands: NDArray, new_hands: NDArray) -> float:
        """How deep [m] those hand vertices that begin are inside the outer skin before anything was simulated."""
        near, depth, *_ = self._clearance.near(self._skin_tree, hands, 0.0)
        return float(np.max(depth[new_hands[near]], initial=0.0))

    def _substep(
        self, skin: NDArray, volume: NDArray, hands: NDArray, obstacles: NDArray, theta: float, *, last: bool
    ) -> int:
        """Minimises the energy for displacements of skin and volume, hands and obstacles; returns the iterations."""
        system, settings, tuning, cells = self.system, self.settings, self.tuning.step, self.cells
        gap = settings.gap
        self._local.pose(volume)
        if cells is not None:
            cells.begin(volume, self._u)
        tracked = self._pose(skin)
        hands, self._lifted = lift_off_bone(
            self._clearance, self._skin_tree, hands, self._bone_direction, self.template.tissue_depth, settings,
            self.tuning.contact,
        )  # fmt: skip
        self.contact.release(self._skin_tree, hands)
        deformed = tracked + self._skin_u
        self.contact.update(tracked, deformed, hands)
        contacts = self.contact.contacts
        before, iterate = self._u_before, self._iterate
        take(self._u, system.free, before)
        iterate[:] = before
        self._anderson.restart()
        carried = self._carried(contacts)
        grip = self._grip.at(contacts)
        directions = self.contact.directions(carried, tuning.pushed_along * grip[1], tuning.pushed_under * grip[1])
        near = problem = None
        if self.obstacles is not None and len(obstacles):
            near = self.obstacles.near(obstacles, tracked, deformed, contacts.skin)
        if len(contacts) or near is not None:
            problem = self._contact_problem(tracked, deformed, hands, directions, carried, grip, near)

        converged = tuning.converged if cells is None else tuning.converged_cells
        enough = gap * (converged if len(contacts) else tuning.converged_free)
        count = settings.final_iterations if last else settings.iterations
        for iteration in range(1, count + 1):
            self._local.right_hand_side(self._u, tracked, self._skin_u, self._b)
            self._b *= 1 - theta
            if problem is not None:
                problem.load(self._b)
            if cells is not None:
                cells.load(self._u, self._b)
            system.factor.solve(self._b, self._x, tuning.still * gap)
            add_scaled(theta, before, self._x)
            if problem is not None:
                problem.correct(self._x, theta)
            elif cells is not None:
                cells.add(cells.solve(cells.missing(self._x, theta), theta), self._x)
            change = largest_difference(self._x, iterate)
            if change < enough or iteration == count:
                break
            self._anderson.mix(iterate.ravel(), self._x.ravel())
            self._scatter(iterate)
        if problem is not None:
            contacts.force[:] = problem.force[: len(contacts)]
        shorten_moves(before, self._longest if len(contacts) else tuning.longest * gap, self._x)
        self._scatter(self._x)
        self._untangle(contacts, near)
        self._change = change
        if problem is not None and len(contacts):
            self.contact.settle(tracked + self._skin_u, directions, problem.friction[: len(contacts)])
        return iteration

    def _untangle(self, contacts: Contacts, near: Nearby | None) -> None:
        """Opens inverted tetrahedra; skin moves less than the inside, skin in contact hardly."""
        self._mobility[:] = 0.0
        self._mobility[self.system.free] = 1.0
        if self.template.conforming:
            self._mobility[: self.template.n_skin] *= self.tuning.step.skin_mobility
            touched = contacts.skin[contacts.force.any(axis=1)]
            if near is not None:
                touched = np.append(touched.ravel(), near.skin[near.height < near.least + self.settings.gap])
            self._mobility[touched] = np.minimum(self._mobility[touched], self.tuning.step.contact_mobility)
        if self._local.untangle(self._u, self._mobility):
            self.system.to_skin.map(self._u, self._skin_u)

    def _scatter(self, free: NDArray) -> None:
        put(free, self.system.free, self._u)
        self.system.to_skin.map(self._u, self._skin_u)

    def _carried(self, contacts: Contacts) -> NDArray[np.float64]:
        """How far the skin at the contacts is from where it was tracked, (m, 3)."""
        return interpolate(self._skin_u, contacts.skin, contacts.skin_weights)

    def _contact_problem(
        self, tracked: NDArray, deformed: NDArray, hands: NDArray, normals: NDArray, carried: NDArray,
        grip: tuple[NDArray, NDArray], near: Nearby | None,
    ) -> ContactProblem:  # fmt: skip
        """The present contacts, pushing along `normals` (m, 3), and the bone and obstacles that stop skin near them.

        carried: (m, 3) how far the skin in contact is from where it was tracked [m]; grip: see `Grip.at`; near: the
        skin over obstacles.
        """
        contacts, settings, tuning = self.contact.contacts, self.settings, self.tuning
        bone = self._bone_under(contacts)
        reach = bone.reach(contacts, normals, tuning.step.towards_bone)
        if near is not None:
            reach = np.minimum(reach, reach_over(near, contacts, normals, tuning.step.towards_bone))
        rows = [hand_rows(contacts, hands, deformed, normals, carried, reach, grip, settings, tuning)]
        rows.append(bone.rows(deformed, self._yielding, tuning))
        if near is not None:
            rows.append(obstacle_rows(near, tuning, settings.gap))
        return contact_problem(self.system, tracked, rows, self.cells, tuning.contact.settled * settings.gap)

    def _bone_under(self, contacts: Contacts) -> Bone:
        return Bone.under(
            self._skin_tree, self._bone_direction, self.template.tissue_depth, self._skin_u, contacts, self.settings,
            self.tuning,
        )  # fmt: skip

    def _statistics(self, substeps: int, iterations: int) -> dict[str, float]:
        ratios = self._local.ratios
        low, middle, high = map(float, percentiles(ratios, _PERCENTILES)) if substeps else (1.0, 1.0, 1.0)
        return {
            "substeps": float(substeps),
            "iterations": float(iterations),
            "residual_um": 1e6 * float(self._change),
            "contacts": float(len(self.contact.contacts)),
            "bone_limited_mm": 1000 * self._lifted if substeps else 0.0,
            "held": float(self.contact.contacts.held.sum()),
            "volume_ratio_p1": low,
            "volume_ratio_p50": middle,
            "volume_ratio_p99": high,
            "inverted_tets": float((ratios <= 0).sum()) if substeps else 0.0,
        }
