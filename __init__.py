# SPDX-License-Identifier: GPL-3.0-or-later
"""NePHIM: hands that really touch faces, for Blender."""
