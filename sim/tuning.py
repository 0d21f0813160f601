# SPDX-License-Identifier: GPL-3.0-or-later
"""How contact, pinch and time step are tuned: what no preset sets, each value with its reason.

Settings (`settings.py`) say how tissue and hands are; these say how the method finds its answer. Lengths are on one
ladder, in multiples of the contact gap, so that they follow it when a head is smaller or larger. `make
bench-interactions` with `--tune contact.near=4` shows what one of them does.
"""

from dataclasses import dataclass, field, fields, replace


@dataclass(frozen=True)
class ContactTuning:
    """Lengths in gaps (0.5 mm in every preset); cosines between unit normals."""

    near: float = 2  # skin so close to a hand becomes a candidate: a little more than the gap, the forces decide
    clear: float = 4  # a hand so far outside the tracked skin lets go: twice `near`, so that contacts do not flicker
    seen_from_hand: float = 20  # deeper hand vertices are left to the skin's own search: a finger's radius
    search: float = 40  # how far the anchored side of a hand is looked for: a finger's thickness
    deepest: float = 100  # an anchor further inside the tracked skin lets go: no cheek yields 50 mm
    facing: float = 0.1  # least opposition of skin and hand triangle: 0 would let grazing triangles push
    same_side: float = 0.2  # least agreement of old and new normal of a sliding anchor: never round a fingertip's edge
    outward: float = 0.2  # a push that points out of the head by more than this is none: room for noise in normals
    # Give of a contact as a share of the skin's own. A hand's: contacts that bone contradicts end at a finite force,
    # and a press of 10 mm ends 0.2 mm short, less than the gap. Bone's: two contacts on one spot do not fight.
    hand_give: float = 0.02
    bone_give: float = 0.001


@dataclass(frozen=True)
class PinchTuning:
    """When skin is held between two sides of a hand. Times in seconds; lengths in gaps."""

    opposed: float = -0.7  # cos between the sides' normals, at most: within 45° of facing each other
    across: float = 0.7  # cos between a side's normal and the way across, at least: the same 45°
    widest: float = 32  # gap between the sides: two pads hold a fold of at most 16 mm
    closed: float = 3  # by which the sides must have come together: more than tracking jitters
    closing_time: float = 0.6  # within so long: a slow, deliberate pinch
    grab_time: float = 0.08  # it must last before it holds: two frames of film
    lose_time: float = 0.08  # without opposition before it lets go: the same
    opening_factor: float = 1.15  # it lets go when the sides are further apart than the narrowest times this …
    opening: float = 1.4  # … and so much more: skin between soft pads is thinner than what is tracked


@dataclass(frozen=True)
class StepTuning:
    """Tolerances in gaps, speeds in metres a second."""

    converged: float = 0.1  # largest change of an iteration at which a substep with contacts is done: 0.05 mm
    converged_free: float = 0.004  # the same without contacts: what relaxes freely moves slowly
    still: float = 0.001  # tissue without load whose surroundings move less is left where it was
    at_rest: float = 0.002  # without contact, what is left of a deformation below this is set to zero
    fading: float = 1.0  # without contact, a deformation below this just decays
    reach: float = 10  # hand vertices further than this and their own motion from the skin need no substeps

    # One limit on the speed of the skin: it follows a hand, and a contact that would have it jump gets there over some
    # frames. Under hands slower than `slow` it fades to the hand's own speed and a creep: under a hand that stands,
    # skin stands too.
    follow: float = 2.5  # times the speed of hand and face: a fold beside a finger moves faster than the finger
    settle: float = 0.027  # and so much more: 1 mm in a frame of film, which nobody sees as a pop
    slow: float = 0.009  # hands as slow as this are about to stand
    creep: float = 1e-4  # what is left under a standing hand: 0.1 mm in a second is not seen
    longest: float = 12  # nothing moves further in one substep, in gaps: a bad step must not be the next one's start
    target: float = 6  # a contact asks for no more in one substep, in gaps: the linearised problem is good so far

    pushed_along: float = 0.5  # share of the drag limit up to which skin is pushed along the hand's normal …
    pushed_under: float = 1.5  # … and from which straight into the head, so that it slips under the hand
    skin_mobility: float = 0.5  # against 1 inside, when tetrahedra are opened: what is seen moves less
    contact_mobility: float = 0.1  # the same for skin in contact, which the hand has placed
    near_bone: float = 0.5  # skin with less than this share of its yield left is kept off the bone explicitly
    towards_bone: float = 0.2  # cos between push and bone direction below which bone does not stop the push
    slowest_decay: float = 0.5  # share of the relaxation's rate at which all decays: thin parts turn and hardly strain
    first_substeps: int = 24  # of a first frame with a hand in the skin, which is pushed out a little in each


@dataclass(frozen=True)
class Tuning:
    contact: ContactTuning = field(default_factory=ContactTuning)
    pinch: PinchTuning = field(default_factory=PinchTuning)
    step: StepTuning = field(default_factory=StepTuning)

    def changed(self, name: str, value: float) -> "Tuning":
        """With one value changed, `contact.near` for example. Raises ValueError for a name there is not."""
        part, _, key = name.partition(".")
        group = getattr(self, part, None)
        if group is None or key not in {f.name for f in fields(group)}:
            known = [f"{p.name}.{f.name}" for p in fields(self) for f in fields(getattr(self, p.name))]
            raise ValueError(f"there is no '{name}' to tune; there are {', '.join(known)}")
        return replace(self, **{part: replace(group, **{key: type(getattr(group, key))(value)})})


DEFAULT = Tuning()
