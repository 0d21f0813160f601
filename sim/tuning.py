# SPDX-License-Identifier: GPL-3.0-or-later
"""Tuning of contact, pinch and time step: values that no preset sets, each with its reason.

Settings (`settings.py`) describe tissue and hands; these control how the method finds its solution. Lengths share one
scale, multiples of the contact gap, so that they adapt when a head is smaller or larger. `make bench-interactions` with
`--tune contact.near=4` shows the effect of one of them.
"""

from dataclasses import dataclass, field, fields, replace


@dataclass(frozen=True)
class ContactTuning:
    """Lengths in gaps (0.5 mm in every preset); cosines between unit normals."""

    near: float = 2  # skin this close to a hand becomes a candidate: a little more than the gap, the forces decide
    clear: float = 4  # a hand this far outside the tracked skin lets go: twice `near`, so that contacts do not flicker
    seen_from_hand: float = 20  # deeper hand vertices are left to the skin's own search: a finger's radius
    search: float = 40  # search distance for the anchored side of a hand: a finger's thickness
    deepest: float = 100  # an anchor further inside the tracked skin lets go: no cheek yields 50 mm
    facing: float = 0.1  # least opposition of skin and hand triangle: 0 would let grazing triangles push
    same_side: float = 0.2  # least agreement of old and new normal of a sliding anchor: never around a fingertip's edge
    outward: float = 0.2  # a push pointing out of the head by more than this is ignored: room for noise in normals
    # Hand vertices up to this far beyond what bone allows are moved out one by one; further, the hand would crumple,
    # its palm be drawn through its back, and skin be trapped in it: so far around, it is drawn back as one.
    one_by_one: float = 16  # what soft pads yield, and what tracking errs by
    thickness: float = 50  # of a hand
    # Skin carried along the face by less than this lies over the bone that it is tracked over, by `elsewhere` or more
    # over that of the place it came to: a dragged lip or cheek moves by 20 mm, where tissue is twice as deep.
    carried: float = 4
    elsewhere: float = 8
    # Largest displacement by a force's change at which contact forces are found: what is left is ten times that.
    settled: float = 0.001
    # Skin this close above an eye or a tooth is looked at: what is left of a lip over teeth, and a substep's way.
    over_obstacle: float = 20
    in_obstacle: float = 8  # skin tracked deeper in an eye or tooth than this lies in it for good, unseen
    # Compliance of a contact as a fraction of the skin's own. A hand's: contacts that conflict with bone end at a
    # finite force, and a press of 10 mm ends 0.2 mm short, less than the gap. Bone's: two contacts on one spot do not
    # fight.
    hand_give: float = 0.02
    bone_give: float = 0.001

    def along(self, gap: float) -> tuple[float, float]:
        """`carried` and `elsewhere` [m]."""
        return self.carried * gap, self.elsewhere * gap


@dataclass(frozen=True)
class PinchTuning:
    """When skin is held between two sides of a hand. Times in seconds; lengths in gaps."""

    opposed: float = -0.7  # cos between the sides' normals, at most: within 45° of facing each other
    across: float = 0.7  # cos between a side's normal and the direction across, at least: the same 45°
    widest: float = 32  # gap between the sides: two pads hold a fold of at most 16 mm
    closed: float = 3  # by which the sides must have approached: more than tracking jitter
    closing_time: float = 0.6  # within this time: a slow, deliberate pinch
    grab_time: float = 0.08  # it must last this long before it holds: two frames of film
    lose_time: float = 0.08  # without opposition before it lets go: the same
    opening_factor: float = 1.15  # it lets go when the sides are further apart than the narrowest times this …
    opening: float = 1.4  # … plus this much: skin between soft pads is thinner than tracked


@dataclass(frozen=True)
class StepTuning:
    """Tolerances in gaps, speeds in metres per second."""

    converged: float = 0.06  # largest change in an iteration at which a substep with contacts is done: 0.03 mm
    converged_cells: float = 0.05  # the same with pressure cells, which keep up with the contacts an iteration late
    converged_free: float = 0.004  # the same without contacts: free relaxation is slow
    still: float = 0.001  # unloaded tissue whose surroundings move less is left in place
    at_rest: float = 0.002  # without contact, a remaining deformation below this is set to zero
    fading: float = 1.0  # without contact, a deformation below this simply decays
    reach: float = 10  # hand vertices further than this and their own motion from the skin need no substeps

    # One limit on the speed of the skin: it follows a hand, and a contact that would make it jump takes effect over a
    # few frames. Under hands slower than `slow` it fades to the hand's own speed plus a creep: under a still hand, skin
    # is still too.
    follow: float = 2.5  # times the speed of hand and face: a fold beside a finger moves faster than the finger
    settle: float = 0.027  # plus this much: 1 mm per frame of film, which is not seen as a pop
    slow: float = 0.009  # hands this slow are about to stop
    creep: float = 1e-4  # what remains under a still hand: 0.1 mm per second is invisible
    longest: float = 12  # nothing moves further in one substep, in gaps: a bad step must not start the next one
    target: float = 6  # a contact demands no more in one substep, in gaps: the limit of the linearisation

    pushed_along: float = 0.5  # fraction of the drag limit up to which skin is pushed along the hand's normal …
    pushed_under: float = 1.5  # … and from which it is pushed straight into the head, so that it slips under the hand
    skin_mobility: float = 0.5  # 1 in the interior, when tetrahedra are opened: visible skin moves less
    contact_mobility: float = 0.1  # the same for skin in contact, placed by the hand
    near_bone: float = 0.5  # skin with less than this fraction of its yield left is kept off the bone explicitly
    towards_bone: float = 0.2  # cos between push and bone direction below which bone does not stop the push
    slowest_decay: float = 0.5  # fraction of the relaxation rate at which all decays: thin parts rotate, hardly strain
    first_substeps: int = 24  # in a first frame with a hand in the skin, which is pushed out a little in each

    def speed_limit(self, speed: float) -> float:
        """How fast skin may move where hands touch that move at this speed [m/s], see `follow`."""
        lively = min(1.0, speed / self.slow) ** 2
        return speed * (1.0 + (self.follow - 1.0) * lively) + self.settle * lively + self.creep


@dataclass(frozen=True)
class Tuning:
    contact: ContactTuning = field(default_factory=ContactTuning)
    pinch: PinchTuning = field(default_factory=PinchTuning)
    step: StepTuning = field(default_factory=StepTuning)

    def changed(self, name: str, value: float) -> "Tuning":
        """With one value changed, `contact.near` for example. Raises ValueError for an unknown name."""
        part, _, key = name.partition(".")
        group = getattr(self, part, None)
        if group is None or key not in {f.name for f in fields(group)}:
            known = [f"{p.name}.{f.name}" for p in fields(self) for f in fields(getattr(self, p.name))]
            raise ValueError(f"there is no '{name}' to tune; there are {', '.join(known)}")
        return replace(self, **{part: replace(group, **{key: type(getattr(group, key))(value)})})


DEFAULT = Tuning()
