# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo character (MakeHuman's CC0 base) and its authored motion."""
