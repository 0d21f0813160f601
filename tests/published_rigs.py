# SPDX-License-Identifier: GPL-3.0-or-later
"""The skeletons of well-known rigs: names and hierarchy as their makers publish them, on the person of `rigs.py`.

A line is a chain of bones, from a bone named before. `bone=joint` puts a bone where the person has that joint; what
stands between two of these is spread evenly. A line with % is read for both sides, one with # for all fingers, whose
joints are called *1, *2, *3. What is left out: twists and helpers that repeat themselves, and single bones of the face.
"""

from dataclasses import dataclass

import numpy as np
import rigs

_STEP = 0.03  # metres: how far a bone goes on after the last that has a place


@dataclass(frozen=True)
class Family:
    """sides: left and right, as names write them; fingers: thumb to little finger, likewise. head, jaw: the bones that
    are to be found, None if no bone's name says so."""

    lines: str
    head: str
    jaw: str | None = None
    sides: tuple[str, str] = ("L", "R")
    fingers: tuple[str, ...] = ("Thumb", "Index", "Middle", "Ring", "Pinky")

    def chains(self) -> list[list[tuple[str, str | None]]]:
        """Of each chain the bones, each with the person's joint or None."""
        found = []
        for line in self.lines.strip().splitlines():
            for side, letter in zip(self.sides, (".L", ".R"), strict=True) if "%" in line else (("", ""),):
                for finger, joint in zip(self.fingers, rigs.FINGERS, strict=True) if "#" in line else (("", ""),):
                    text = line.strip().replace("%", side).replace("#", finger)
                    chain = [part.partition("=") for part in text.split(" > ")]
                    found.append([(bone, _joint(at.replace("*", joint), letter)) for bone, _, at in chain])
        return found


def _joint(name: str, letter: str) -> str | None:
    """The person's joint of that name, on that side if there are two; None if there is no name."""
    return None if not name else f"{name}{letter}" if f"{name}{letter}" in rigs.person() else name


def bones_and_places(family: Family) -> tuple[rigs.Joints, dict[str, str]]:
    """Bone → (place, parent), and the person's joint → the bone there; of several the last named."""
    person = rigs.person()
    bones: rigs.Joints = {}
    at: dict[str, str] = {}
    for chain in family.chains():
        known = [bones[bone][0] if bone in bones else person[j][0] if j else None for bone, j in chain]
        if known[0] is None:
            known[0] = (0.0, 0.0, 0.0)
        anchors = [i for i, place in enumerate(known) if place is not None]
        for i, (bone, joint) in enumerate(chain):
            if bone not in bones:
                before = max(a for a in anchors if a <= i)
                after = [a for a in anchors if a >= i]
                start = np.array(known[before], float)
                if after and after[0] > before:
                    place = start + (np.array(known[after[0]]) - start) * (i - before) / (after[0] - before)
                else:
                    place = start + np.array((0, 0, _STEP)) * (i - before)
                bones[bone] = (tuple(place), chain[i - 1][0] if i else None)
            if joint:
                at[joint] = bone
    return bones, at


def build(family: Family):
    """The person in the present scene with this skeleton; returns (body, part of each vertex)."""
    bones, at = bones_and_places(family)
    joints = {joint: place for joint, place in rigs.person().items() if joint in at}
    body, _, part = rigs.build(lambda joint: at.get(joint, joint), joints, bones=bones)
    return body, part


_MIXAMO = """
    {0}Hips=hips > {0}Spine=spine > {0}Spine1 > {0}Spine2=chest > {0}Neck=neck > {0}Head=head > {0}HeadTop_End
    {0}Spine2 > {0}%Shoulder=clavicle > {0}%Arm=upperarm > {0}%ForeArm=forearm > {0}%Hand=hand
    {0}%Hand > {0}%Hand#1=*1 > {0}%Hand#2=*2 > {0}%Hand#3=*3 > {0}%Hand#4
    {0}Hips > {0}%UpLeg=thigh > {0}%Leg=shin > {0}%Foot=foot > {0}%ToeBase=toe > {0}%Toe_End
"""
_LONG = ("Left", "Right")
_JAPANESE = ("親指", "人指", "中指", "薬指", "小指")
_MMD = """
    全ての親 > センター > グルーブ > 腰=hips > 上半身=spine > 上半身2=chest > 首=neck > 頭=head > 両目
    頭 > {0}目{1}=eye
    上半身2 > {0}肩P{1}=clavicle > {0}肩{1}=clavicle > {0}肩C{1}=upperarm > {0}腕{1}=upperarm > {0}腕捩{1} > \
{0}ひじ{1}=forearm > {0}手捩{1} > {0}手首{1}=hand > {0}ダミー{1}
    {0}手首{1} > {0}#１{1}=*1 > {0}#２{1}=*2 > {0}#３{1}=*3
    腰 > 下半身=hips > {0}足{1}=thigh > {0}ひざ{1}=shin > {0}足首{1}=foot > {0}つま先{1}=toe
    全ての親 > {0}足IK親{1} > {0}足ＩＫ{1} > {0}つま先ＩＫ{1}
"""

FAMILIES = {
    "mixamo": Family(_MIXAMO.replace("{0}", "mixamorig:"), "mixamorig:Head", sides=_LONG),
    "ready player me": Family(
        _MIXAMO.replace("{0}", "") + "Head > %Eye=eye", "Head", sides=_LONG
    ),
    "unity-chan": Family(
        "Character1_Reference > "
        + _MIXAMO.replace("{0}", "Character1_").strip()
        + """
        Character1_Head > J_%_HairTail_00_% > J_%_HairTail_01_% > J_%_HairTail_02_% > J_%_HairTail_03_%
        Character1_Head > J_%_HairSide_00_% > J_%_HairSide_01_%
        Character1_Hips > J_%_Skirt_00_% > J_%_Skirt_01_%
        """,
        "Character1_Head",
        sides=_LONG,
    ),
    "vroid": Family(
        """
        Root > J_Bip_C_Hips=hips > J_Bip_C_Spine=spine > J_Bip_C_Chest > J_Bip_C_UpperChest=chest > \
J_Bip_C_Neck=neck > J_Bip_C_Head=head > J_Adj_%_FaceEye=eye
        J_Bip_C_Head > J_Sec_Hair1_01 > J_Sec_Hair2_01 > J_Sec_Hair3_01 > J_Sec_Hair3_01_end
        J_Bip_C_Head > J_Sec_Hair1_02 > J_Sec_Hair2_02 > J_Sec_Hair3_02 > J_Sec_Hair3_02_end
        J_Bip_C_UpperChest > J_Sec_%_Bust1 > J_Sec_%_Bust2
        J_Bip_C_UpperChest > J_Bip_%_Shoulder=clavicle > J_Bip_%_UpperArm=upperarm > J_Bip_%_LowerArm=forearm > \
J_Bip_%_Hand=hand
        J_Bip_%_Hand > J_Bip_%_#1=*1 > J_Bip_%_#2=*2 > J_Bip_%_#3=*3
        J_Bip_C_Hips > J_Bip_%_UpperLeg=thigh > J_Bip_%_LowerLeg=shin > J_Bip_%_Foot=foot > J_Bip_%_ToeBase=toe
        J_Bip_%_UpperLeg > J_Sec_%_CoatSkirtSide1_01 > J_Sec_%_CoatSkirtSide2_01
        """,
        "J_Bip_C_Head",
        fingers=("Thumb", "Index", "Middle", "Ring", "Little"),
    ),
    "character creator": Family(
        """
        RL_BoneRoot > CC_Base_Hip=hips > CC_Base_Waist=spine > CC_Base_Spine01 > CC_Base_Spine02=chest > \
CC_Base_NeckTwist01=neck > CC_Base_NeckTwist02 > CC_Base_Head=head > CC_Base_FacialBone > CC_Base_JawRoot=jaw > \
CC_Base_Tongue01 > CC_Base_Tongue02
        CC_Base_FacialBone > CC_Base_%_Eye=eye
        CC_Base_FacialBone > CC_Base_UpperJaw > CC_Base_Teeth01
        CC_Base_Spine02 > CC_Base_%_RibsTwist > CC_Base_%_Breast
        CC_Base_Spine02 > CC_Base_%_Clavicle=clavicle > CC_Base_%_Upperarm=upperarm > CC_Base_%_Forearm=forearm > \
CC_Base_%_Hand=hand
        CC_Base_%_Upperarm > CC_Base_%_UpperarmTwist01 > CC_Base_%_UpperarmTwist02
        CC_Base_%_Forearm > CC_Base_%_ForearmTwist01 > CC_Base_%_ForearmTwist02
        CC_Base_%_Hand > CC_Base_%_#1=*1 > CC_Base_%_#2=*2 > CC_Base_%_#3=*3
        CC_Base_Hip > CC_Base_Pelvis=hips > CC_Base_%_Thigh=thigh > CC_Base_%_Calf=shin > CC_Base_%_Foot=foot > \
CC_Base_%_ToeBase=toe > CC_Base_%_BigToe1
        """,
        "CC_Base_Head",
        "CC_Base_JawRoot",
        fingers=("Thumb", "Index", "Mid", "Ring", "Pinky"),
    ),
    "daz genesis 8": Family(
        """
        hip=hips > abdomenLower=spine > abdomenUpper > chestLower=chest > chestUpper > neckLower=neck > neckUpper > \
head=head > lowerFaceRig > lowerJaw=jaw > tongue01 > tongue02
        head > %Eye=eye
        head > %Ear
        head > upperTeeth
        head > upperFaceRig > %BrowInner
        upperFaceRig > %EyelidUpper
        chestLower > %Pectoral
        chestUpper > %Collar=clavicle > %ShldrBend=upperarm > %ShldrTwist > %ForearmBend=forearm > %ForearmTwist > \
%Hand=hand > %Thumb1=thumb1 > %Thumb2=thumb2 > %Thumb3=thumb3
        %Hand > %Carpal1 > %Index1=index1 > %Index2=index2 > %Index3=index3
        %Hand > %Carpal2 > %Mid1=middle1 > %Mid2=middle2 > %Mid3=middle3
        %Hand > %Carpal3 > %Ring1=ring1 > %Ring2=ring2 > %Ring3=ring3
        %Hand > %Carpal4 > %Pinky1=pinky1 > %Pinky2=pinky2 > %Pinky3=pinky3
        hip > pelvis=hips > %ThighBend=thigh > %ThighTwist > %Shin=shin > %Foot=foot > %Metatarsals > %Toe=toe > \
%BigToe > %BigToe_2
        %Toe > %SmallToe1 > %SmallToe1_2
        %Toe > %SmallToe2 > %SmallToe2_2
        """,
        "head",
        "lowerJaw",
        sides=("l", "r"),
    ),
    "daz genesis 9": Family(
        """
        hip=hips > spine1=spine > spine2 > spine3 > spine4=chest > neck1=neck > neck2 > head=head > lowerjaw=jaw > \
tongue01 > tongue02
        head > %_eye=eye
        head > %_ear
        spine3 > %_pectoral
        spine4 > %_shoulder=clavicle > %_upperarm=upperarm > %_forearm=forearm > %_hand=hand
        %_upperarm > %_upperarmtwist1
        %_hand > %_thumb1=thumb1 > %_thumb2=thumb2 > %_thumb3=thumb3
        %_hand > %_indexmetacarpal > %_index1=index1 > %_index2=index2 > %_index3=index3
        %_hand > %_midmetacarpal > %_mid1=middle1 > %_mid2=middle2 > %_mid3=middle3
        %_hand > %_ringmetacarpal > %_ring1=ring1 > %_ring2=ring2 > %_ring3=ring3
        %_hand > %_pinkymetacarpal > %_pinky1=pinky1 > %_pinky2=pinky2 > %_pinky3=pinky3
        hip > pelvis=hips > %_thigh=thigh > %_shin=shin > %_foot=foot > %_metatarsal > %_toes=toe > \
%_bigtoe1 > %_bigtoe2
        %_toes > %_indextoe1 > %_indextoe2
        """,
        "head",
        "lowerjaw",
        sides=("l", "r"),
    ),
    "metahuman": Family(
        """
        root > pelvis=hips > spine_01=spine > spine_02 > spine_03 > spine_04 > spine_05=chest > neck_01=neck > \
neck_02 > head=head > FACIAL_C_FacialRoot > FACIAL_C_Jaw=jaw > FACIAL_C_Chin
        FACIAL_C_FacialRoot > FACIAL_%_Eye=eye > FACIAL_%_EyeParallel
        FACIAL_C_FacialRoot > FACIAL_%_Ear > FACIAL_%_Ear1
        FACIAL_C_FacialRoot > FACIAL_C_Forehead > FACIAL_%_Forehead1
        neck_01 > FACIAL_C_Neck1Root > FACIAL_%_Neck1A1
        neck_02 > FACIAL_C_Neck2Root > FACIAL_%_Neck2A1
        spine_05 > clavicle_%=clavicle > upperarm_%=upperarm > lowerarm_%=forearm > hand_%=hand
        upperarm_% > upperarm_correctiveRoot_% > upperarm_bck_%
        lowerarm_% > lowerarm_twist_01_%
        hand_% > wrist_inner_%
        hand_% > wrist_outer_%
        hand_% > thumb_01_%=thumb1 > thumb_02_%=thumb2 > thumb_03_%=thumb3
        hand_% > index_metacarpal_% > index_01_%=index1 > index_02_%=index2 > index_03_%=index3
        hand_% > middle_metacarpal_% > middle_01_%=middle1 > middle_02_%=middle2 > middle_03_%=middle3
        hand_% > ring_metacarpal_% > ring_01_%=ring1 > ring_02_%=ring2 > ring_03_%=ring3
        hand_% > pinky_metacarpal_% > pinky_01_%=pinky1 > pinky_02_%=pinky2 > pinky_03_%=pinky3
        index_01_% > index_01_bulge_%
        pelvis > thigh_%=thigh > calf_%=shin > foot_%=foot > ball_%=toe > bigtoe_01_% > bigtoe_02_%
        ball_% > indextoe_01_% > indextoe_02_%
        """,
        "head",
        "FACIAL_C_Jaw",
        sides=("l", "r"),
    ),
    "3ds max biped": Family(
        """
        Bip001 > Bip001 Pelvis=hips > Bip001 Spine=spine > Bip001 Spine1 > Bip001 Spine2=chest > Bip001 Neck=neck > \
Bip001 Head=head > Bip001 HeadNub
        Bip001 Neck > Bip001 % Clavicle=clavicle > Bip001 % UpperArm=upperarm > Bip001 % Forearm=forearm > \
Bip001 % Hand=hand
        Bip001 % Hand > Bip001 % Finger#=*1 > Bip001 % Finger#1=*2 > Bip001 % Finger#2=*3 > Bip001 % Finger#Nub
        Bip001 Pelvis > Bip001 % Thigh=thigh > Bip001 % Calf=shin > Bip001 % Foot=foot > Bip001 % Toe0=toe > \
Bip001 % Toe0Nub
        Bip001 Head > Bip001 Ponytail1 > Bip001 Ponytail11
        """,
        "Bip001 Head",
        fingers=("0", "1", "2", "3", "4"),
    ),
    "smpl-x": Family(
        """
        root > pelvis=hips > spine1=spine > spine2 > spine3=chest > neck=neck > head=head > jaw=jaw
        head > %_eye_smplhf=eye
        spine3 > %_collar=clavicle > %_shoulder=upperarm > %_elbow=forearm > %_wrist=hand
        %_wrist > %_#1=*1 > %_#2=*2 > %_#3=*3
        pelvis > %_hip=thigh > %_knee=shin > %_ankle=foot > %_foot=toe
        """,
        "head",
        "jaw",
        sides=("left", "right"),
        fingers=rigs.FINGERS,
    ),
    "advanced skeleton": Family(
        """
        Root_M=hips > Spine1_M=spine > Spine2_M > Chest_M=chest > Neck_M=neck > Head_M=head > Jaw_M=jaw > JawEnd_M
        Head_M > Eye_%=eye > EyeEnd_%
        Head_M > HeadEnd_M
        Chest_M > Scapula_%=clavicle > Shoulder_%=upperarm > Elbow_%=forearm > Wrist_%=hand
        Wrist_% > ThumbFinger1_%=thumb1 > ThumbFinger2_%=thumb2 > ThumbFinger3_%=thumb3 > ThumbFinger4_%
        Wrist_% > IndexFinger1_%=index1 > IndexFinger2_%=index2 > IndexFinger3_%=index3 > IndexFinger4_%
        Wrist_% > MiddleFinger1_%=middle1 > MiddleFinger2_%=middle2 > MiddleFinger3_%=middle3 > MiddleFinger4_%
        Wrist_% > Cup_% > RingFinger1_%=ring1 > RingFinger2_%=ring2 > RingFinger3_%=ring3 > RingFinger4_%
        Cup_% > PinkyFinger1_%=pinky1 > PinkyFinger2_%=pinky2 > PinkyFinger3_%=pinky3 > PinkyFinger4_%
        Root_M > Hip_%=thigh > Knee_%=shin > Ankle_%=foot > Toes_%=toe > ToesEnd_%
        """,
        "Head_M",
        "Jaw_M",
    ),
    # The wrist is called arm_L0_end: that it is a hand is told by its fingers alone.
    "mgear": Family(
        """
        global_C0_0_jnt > root_C0_0_jnt=hips > spine_C0_0_jnt=spine > spine_C0_1_jnt > spine_C0_2_jnt > \
spine_C0_3_jnt=chest > neck_C0_0_jnt=neck > neck_C0_1_jnt > neck_C0_head_jnt=head > mouth_C0_jaw_jnt=jaw
        neck_C0_head_jnt > eye_%0_eye_jnt=eye
        spine_C0_3_jnt > shoulder_%0_shoulder_jnt=clavicle > arm_%0_0_jnt=upperarm > arm_%0_1_jnt > arm_%0_2_jnt > \
arm_%0_3_jnt=forearm > arm_%0_4_jnt > arm_%0_5_jnt > arm_%0_end_jnt=hand
        arm_%0_end_jnt > thumb_%0_0_jnt=thumb1 > thumb_%0_1_jnt=thumb2 > thumb_%0_2_jnt=thumb3
        arm_%0_end_jnt > meta_%0_0_jnt > finger_%0_0_jnt=index1 > finger_%0_1_jnt=index2 > finger_%0_2_jnt=index3
        meta_%0_0_jnt > meta_%0_1_jnt > finger_%1_0_jnt=middle1 > finger_%1_1_jnt=middle2 > finger_%1_2_jnt=middle3
        meta_%0_1_jnt > meta_%0_2_jnt > finger_%2_0_jnt=ring1 > finger_%2_1_jnt=ring2 > finger_%2_2_jnt=ring3
        meta_%0_2_jnt > meta_%0_3_jnt > finger_%3_0_jnt=pinky1 > finger_%3_1_jnt=pinky2 > finger_%3_2_jnt=pinky3
        root_C0_0_jnt > leg_%0_0_jnt=thigh > leg_%0_1_jnt > leg_%0_2_jnt=shin > leg_%0_3_jnt > leg_%0_end_jnt=foot > \
foot_%0_0_jnt > foot_%0_1_jnt=toe
        """,
        "neck_C0_head_jnt",
        "mouth_C0_jaw_jnt",
    ),
    "auto-rig pro": Family(
        """
        c_root_bend.x=hips > c_spine_01_bend.x=spine > c_spine_02_bend.x > c_spine_03_bend.x=chest > neck.x=neck > \
head.x=head > jawbone.x=jaw
        head.x > c_eye.%=eye
        head.x > c_ear_01.% > c_ear_02.%
        c_spine_03_bend.x > breast.%
        c_spine_03_bend.x > shoulder.%=clavicle > c_arm_twist_2.%=upperarm > c_arm_stretch.% > \
c_forearm_stretch.%=forearm > c_forearm_twist_2.% > c_forearm_twist.% > hand.%=hand
        c_arm_stretch.% > elbow.%
        hand.% > thumb1.%=thumb1 > c_thumb2.%=thumb2 > c_thumb3.%=thumb3
        hand.% > c_index1_base.% > index1.%=index1 > c_index2.%=index2 > c_index3.%=index3
        hand.% > c_middle1_base.% > middle1.%=middle1 > c_middle2.%=middle2 > c_middle3.%=middle3
        hand.% > c_ring1_base.% > ring1.%=ring1 > c_ring2.%=ring2 > c_ring3.%=ring3
        hand.% > c_pinky1_base.% > pinky1.%=pinky1 > c_pinky2.%=pinky2 > c_pinky3.%=pinky3
        c_root_bend.x > c_thigh_twist.%=thigh > c_thigh_twist_2.% > c_thigh_stretch.% > c_leg_stretch.%=shin > \
c_leg_twist_2.% > c_leg_twist.% > foot.%=foot > toes_01.%=toe
        """,
        "head.x",
        "jawbone.x",
        sides=("l", "r"),
    ),
    "blenrig": Family(
        """
        pelvis_def=hips > spine_1_def=spine > spine_2_def > spine_3_def=chest > neck_1_def=neck > neck_2_def > \
neck_3_def > head_def_1=head > head_def_2 > head_def_3
        spine_3_def > clavi_def_%=clavicle > arm_def_%=upperarm > arm_twist_def_% > forearm_def_%=forearm > \
forearm_twist_def_% > hand_def_%=hand
        hand_def_% > fing_thumb_1_def_%=thumb1 > fing_thumb_2_def_%=thumb2 > fing_thumb_3_def_%=thumb3
        hand_def_% > fing_ind_1_def_% > fing_ind_2_def_%=index1 > fing_ind_3_def_%=index2 > fing_ind_4_def_%=index3
        hand_def_% > fing_mid_1_def_% > fing_mid_2_def_%=middle1 > fing_mid_3_def_%=middle2 > fing_mid_4_def_%=middle3
        hand_def_% > fing_ring_1_def_% > fing_ring_2_def_%=ring1 > fing_ring_3_def_%=ring2 > fing_ring_4_def_%=ring3
        hand_def_% > fing_lit_1_def_% > fing_lit_2_def_%=pinky1 > fing_lit_3_def_%=pinky2 > fing_lit_4_def_%=pinky3
        pelvis_def > thigh_def_%=thigh > thigh_twist_def_% > shin_def_%=shin > shin_twist_def_% > foot_def_%=foot > \
foot_toe_1_def_%=toe > foot_toe_2_def_%
        """,
        "head_def_1",
    ),
    "mmd": Family(_MMD.replace("{0}", "%").replace("{1}", ""), "頭", sides=("左", "右"), fingers=_JAPANESE),
    "mmd tools": Family(_MMD.replace("{0}", "").replace("{1}", ".%"), "頭", fingers=_JAPANESE),
}  # fmt: skip
