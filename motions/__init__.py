# SPDX-License-Identifier: GPL-3.0-or-later
"""Endless seeded hand motions around a head: what a network is trained and judged on."""
