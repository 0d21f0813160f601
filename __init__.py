# SPDX-License-Identifier: GPL-3.0-or-later
"""NePHIM: hands that really touch faces, for Blender.

Outside Blender (`sim`, `nn`) the package does not import it; Blender calls `register` and `unregister`.
"""

from .version import VERSION as __version__  # noqa: F401


def register() -> None:
    from . import registration

    registration.register()


def unregister() -> None:
    from . import registration

    registration.unregister()
