# SPDX-License-Identifier: GPL-3.0-or-later
"""Captured surfaces over time: readers of files, and the checks that they pass before anything is built from them."""
