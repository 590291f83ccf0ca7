# SPDX-License-Identifier: Apache-2.0
"""The MuJoCo scene: an FR3 made of primitive shapes, a table, a cup, a box and a plate.

Primitive shapes render fast on a CPU and need no mesh files. The arm's kinematics, limits and
inertial parameters come from ``vjepa_planner.robots.fr3``; its shapes only look alike.
"""

from __future__ import annotations

import math

from vjepa_planner.robots import fr3

CUP_RADIUS = 0.033
CUP_HEIGHT = 0.09
BOX_HALF_SIZE = 0.025
PLATE_RADIUS = 0.075

GRASP_HEIGHT = {'cup': 0.06, 'box': 0.042}
"""Height of the tool centre point at which an object that stands is grasped [m]. The palm then
passes over whatever stands farther away than the hand is wide."""

FINGER_REACH = 0.009
"""Of the fingers below the tool centre point [m]."""

ARM_CONTYPE = 2
"""MuJoCo contact type of the arm's shapes: they meet objects and table, not each other."""

BACKGROUND_GROUP = 1
"""MuJoCo geom group of what stands behind the scene; no shadows are computed on it."""

# Position gains [N m/rad] and damping [N m s/rad] of the joint servos: those in common use for
# MuJoCo models of this arm (MuJoCo Menagerie, franka_emika_panda, Apache-2.0).
_SERVO_STIFFNESS = (4500, 4500, 3500, 3500, 2000, 2000, 2000)
_SERVO_DAMPING = (450, 450, 350, 350, 200, 200, 200)

# Shapes of each link in its own frame: (MJCF geom attributes, material).
_WHITE, _DARK = 'arm', 'arm_dark'
_LINK_SHAPES: tuple[tuple[tuple[str, str], ...], ...] = (
    (
        ('type="capsule" size=".066" fromto="0 0 -.19 0 0 -.05"', _WHITE),
        ('type="cylinder" size=".068 .075" euler="1.5708 0 0"', _WHITE),
        ('type="cylinder" size=".055 .079" euler="1.5708 0 0"', _DARK),
    ),
    (('type="capsule" size=".064" fromto="0 -.04 0 0 -.16 0"', _WHITE),),
    (
        ('type="capsule" size=".06" fromto="0 0 -.13 .02 0 -.04"', _WHITE),
        ('type="capsule" size=".056" fromto=".02 0 -.04 .0825 0 0"', _WHITE),
        ('type="cylinder" size=".056 .07" pos=".0825 0 0" euler="1.5708 0 0"', _WHITE),
        ('type="cylinder" size=".045 .074" pos=".0825 0 0" euler="1.5708 0 0"', _DARK),
    ),
    (('type="capsule" size=".055" fromto="-.02 .02 0 -.0825 .1 0"', _WHITE),),
    (
        ('type="capsule" size=".055" fromto="0 0 -.27 0 .03 -.17"', _WHITE),
        ('type="capsule" size=".045" fromto="0 .05 -.17 0 .06 -.04"', _WHITE),
        ('type="capsule" size=".045" fromto="0 .05 -.03 0 0 0"', _WHITE),
    ),
    (
        ('type="capsule" size=".048" fromto="0 0 -.02 0 0 .03"', _WHITE),
        ('type="capsule" size=".045" fromto="0 0 0 .088 0 0"', _WHITE),
    ),
    (
        ('type="cylinder" size=".044 .045" pos="0 0 .06"', _WHITE),
        ('type="cylinder" size=".035 .008" pos="0 0 .1"', _DARK),
    ),
)


def build_mjcf() -> str:
    """Return the scene as MJCF text. The robot base frame ``fr3_link0`` is the world frame."""
    return f"""<mujoco model="fr3_table">
<compiler angle="radian" autolimits="true"/>
<option timestep="0.002" integrator="implicitfast" cone="elliptic" impratio="10"/>
<visual>
 <global offwidth="1280" offheight="960"/>
 <quality shadowsize="1024" offsamples="4"/>
 <headlight ambient=".35 .35 .35" diffuse=".3 .3 .3" specular=".1 .1 .1"/>
 <map znear="0.02" zfar="10" shadowclip="1.2"/>
</visual>
<asset>
 <material name="table" rgba=".72 .58 .42 1" specular=".1"/>
 <material name="floor" rgba=".36 .37 .39 1" specular="0"/>
 <material name="wall" rgba=".74 .75 .74 1" specular="0"/>
 <material name="arm" rgba=".93 .93 .94 1" specular=".4"/>
 <material name="arm_dark" rgba=".18 .18 .20 1" specular=".3"/>
 <material name="hand" rgba=".86 .87 .89 1" specular=".3"/>
 <material name="finger" rgba=".22 .22 .25 1" specular=".3"/>
 <material name="cup" rgba=".85 .15 .12 1" specular=".3"/>
 <material name="box" rgba=".10 .30 .80 1" specular=".2"/>
 <material name="plate" rgba=".92 .90 .85 1" specular=".3"/>
 <material name="plate_inside" rgba=".80 .78 .74 1" specular=".3"/>
</asset>
<default>
 <default class="arm">
  <joint armature="0.1" damping="1" axis="0 0 1"/>
  <geom contype="{ARM_CONTYPE}" conaffinity="1" group="2" mass="0"/>
 </default>
 <default class="pad">
  <geom type="box" size=".009 .006 .011" material="finger" mass="0" friction="1.2 .02 .001"
   condim="4" solimp=".95 .99 .001" solref=".006 1" priority="1" contype="{ARM_CONTYPE}"
   conaffinity="1"/>
 </default>
 <default class="object">
  <geom friction="1 .01 .001" condim="4" solref=".006 1" contype="1" conaffinity="3"/>
 </default>
 <default class="visual"><geom mass="0" contype="0" conaffinity="0" group="2"/></default>
 <default class="background">
  <geom type="box" contype="0" conaffinity="0" group="{BACKGROUND_GROUP}"/>
 </default>
</default>
<worldbody>
 <light name="lamp" pos=".2 -.9 2.2" dir="0 .3 -1" directional="false" castshadow="true"
  diffuse=".55 .55 .55"/>
 <geom name="floor" type="plane" size="4 4 .1" pos="0 0 -.75" material="floor"
  group="{BACKGROUND_GROUP}"/>
 <geom class="background" size=".02 3 1.5" pos="-1.1 0 .4" material="wall"/>
 <geom class="background" size="3 .02 1.5" pos="0 -1.5 .4" material="wall"/>
 <geom name="table" type="box" size=".55 .7 .02" pos=".35 0 -.02" material="table" contype="1"
  conaffinity="3" friction="1 .01 .001"/>
 <geom class="background" size=".3 .3 .355" pos=".25 0 -.395" rgba=".3 .3 .32 1"/>
 <camera name="camera" mode="fixed"/>
 <body name="plate" mocap="true" pos=".5 .2 0">
  <geom class="visual" type="cylinder" size="{PLATE_RADIUS} .003" pos="0 0 .003" material="plate"/>
  <geom class="visual" type="cylinder" size="{PLATE_RADIUS * 0.72} .0035" pos="0 0 .0035"
   material="plate_inside"/>
 </body>
 {_arm()}
 <body name="cup" pos=".5 -.15 0"><freejoint name="cup"/>
  <geom class="object" type="cylinder" size="{CUP_RADIUS - 0.002} {CUP_HEIGHT / 2}"
   pos="0 0 {CUP_HEIGHT / 2}" mass=".12" group="3"/>
  <geom class="visual" type="cylinder" size="{CUP_RADIUS - 0.003} .004" pos="0 0 .004"
   material="cup"/>
  {_cup_wall()}
 </body>
 <body name="box" pos=".6 .1 {BOX_HALF_SIZE}"><freejoint name="box"/>
  <geom class="object" type="box" size="{BOX_HALF_SIZE} {BOX_HALF_SIZE} {BOX_HALF_SIZE}"
   material="box" mass=".06"/>
 </body>
</worldbody>
<tendon><fixed name="gripper">
 <joint joint="fr3_finger_joint1" coef=".5"/><joint joint="fr3_finger_joint2" coef=".5"/>
</fixed></tendon>
<equality>
 <joint joint1="fr3_finger_joint1" joint2="fr3_finger_joint2" solimp=".95 .99 .001"
  solref=".005 1"/>
</equality>
<actuator>
 {_servos()}
 <general name="gripper" tendon="gripper" ctrlrange="0 .04" gainprm="1000 0 0"
  biasprm="0 -1000 -100" biastype="affine" forcerange="-40 40"/>
</actuator>
</mujoco>"""


def _inertial(mass: float, center: tuple[float, ...], inertia: tuple[float, ...]) -> str:
    return f'<inertial mass="{mass}" pos="{_numbers(center)}" fullinertia="{_numbers(inertia)}"/>'


def _numbers(values: tuple[float, ...]) -> str:
    return ' '.join(f'{value:.10g}' for value in values)


def _arm() -> str:
    """Return the chain of bodies from the base to the finger tips."""
    opening = (
        '<body name="fr3_link0" childclass="arm">'
        '<geom type="box" size=".075 .075 .03" pos="-.04 0 .03" material="arm"/>'
        '<geom type="cylinder" size=".075 .07" pos="0 0 .07" material="arm"/>'
    )
    for index, (joint, shapes) in enumerate(zip(fr3.JOINTS, _LINK_SHAPES, strict=True), start=1):
        geoms = ''.join(f'<geom {shape} material="{material}"/>' for shape, material in shapes)
        opening += (
            f'<body name="fr3_link{index}" pos="{_numbers(joint.origin)}" '
            f'euler="{joint.roll:.10g} 0 0" gravcomp="1">'
            f'<joint name="fr3_joint{index}" range="{joint.lower} {joint.upper}"/>'
            f'{_inertial(joint.mass, joint.center_of_mass, joint.inertia)}{geoms}\n'
        )
    return opening + _hand() + '</body>' * (len(fr3.JOINTS) + 1)


def _hand() -> str:
    """Return the Franka Hand: palm, two sliding fingers, and the site of the tool centre point."""
    palm = (
        f'<body name="fr3_hand" pos="0 0 {fr3.FLANGE_OFFSET_Z}" euler="0 0 {fr3.HAND_YAW:.10g}" '
        f'gravcomp="1">'
        f'{_inertial(fr3.HAND_MASS, fr3.HAND_CENTER_OF_MASS, fr3.HAND_INERTIA)}'
        '<geom type="box" size=".03 .1 .025" pos="0 0 .033" material="hand"/>'
        '<geom type="box" size=".022 .06 .006" pos="0 0 .06" material="arm_dark"/>'
        f'<site name="tcp" pos="0 0 {fr3.TCP_OFFSET_Z}" rgba="0 0 0 0"/>'
    )
    fingers = ''
    for name, yaw in zip(fr3.FINGER_JOINT_NAMES, (0.0, math.pi), strict=True):
        inertial = _inertial(fr3.FINGER_MASS, fr3.FINGER_CENTER_OF_MASS, fr3.FINGER_INERTIA)
        fingers += (
            f'<body name="{name}_body" pos="0 0 {fr3.FINGER_ORIGIN_Z}" euler="0 0 {yaw:.10g}" '
            f'gravcomp="1"><joint name="{name}" type="slide" axis="0 1 0" '
            f'range="0 {fr3.MAX_GRIPPER_WIDTH / 2}" armature=".1" damping="10"/>{inertial}'
            '<geom type="box" size=".01 .006 .018" pos="0 .012 .016" material="finger"/>'
            '<geom class="pad" pos="0 .006 .043"/></body>'
        )
    return palm + fingers + '</body>'


def _cup_wall(segments: int = 14) -> str:
    """Return the cup's visible wall: a ring of thin boxes; collisions use one solid cylinder."""
    thickness, height = 0.0025, CUP_HEIGHT - 0.004
    half_width = math.tan(math.pi / segments) * CUP_RADIUS
    wall = ''
    for index in range(segments):
        angle = 2 * math.pi * index / segments
        radius = CUP_RADIUS - thickness
        x, y = radius * math.cos(angle), radius * math.sin(angle)
        wall += (
            '<geom class="visual" type="box" '
            f'size="{thickness} {half_width:.5f} {height / 2:.5f}" '
            f'pos="{x:.5f} {y:.5f} {height / 2 + 0.004:.5f}" euler="0 0 {angle:.5f}" '
            'material="cup"/>'
        )
    return wall


def _servos() -> str:
    return ''.join(
        f'<position name="servo{index}" joint="{name}" kp="{kp}" kv="{kv}" '
        f'forcerange="-{joint.max_torque} {joint.max_torque}"/>'
        for index, (name, joint, kp, kv) in enumerate(
            zip(fr3.ARM_JOINT_NAMES, fr3.JOINTS, _SERVO_STIFFNESS, _SERVO_DAMPING, strict=True),
            start=1,
        )
    )
