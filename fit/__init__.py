# SPDX-License-Identifier: GPL-3.0-or-later
"""Landmarks over time become the motion of a rig: cameras, kinematics, and a least-squares solver."""
