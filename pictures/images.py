# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures as arrays: writing PNG, empty sheets, the colour bar's numbers."""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import atomic_write

_PAPER = (30, 32, 35)  # sRGB of what lies behind pictures and letters


def blank(width: int, height: int) -> NDArray[np.uint8]:
    """An empty sheet, (height, width, 3) sRGB."""
    return np.tile(np.array(_PAPER, np.uint8), (height, width, 1))


def scale_end(largest: float) -> float:
    """The first of 1, 2, 5, 10, 15, 20, 30, 50 … that is not below `largest`, in the same unit."""
    steps = [step * 10.0**power for power in range(-3, 4) for step in (1, 1.5, 2, 3, 5)]
    return next((step for step in steps if step >= largest * (1 - 1e-9)), largest)


def write_png(path: Path, image: NDArray[np.uint8], compression: int = 6) -> None:
    """Writes image (h, w, 3) sRGB as PNG, atomically; compression as zlib's, 0 to 9. Raises CacheError."""
    height, width, _ = image.shape
    # Filter 2, the difference from the line above, compresses smooth pictures about twice as well as none.
    lines = image.reshape(height, width * 3)
    filtered = np.full((height, width * 3 + 1), 2, np.uint8)
    filtered[0, 1:] = lines[0]
    filtered[1:, 1:] = lines[1:] - lines[:-1]
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"sRGB", b"\0"),
        (b"IDAT", zlib.compress(filtered.tobytes(), compression)),
        (b"IEND", b""),
    )
    advice = "Free disk space or make the folder writable."
    with atomic_write(Path(path), f"The picture could not be written to {path}", advice) as stream:
        stream.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in chunks:
            stream.write(struct.pack(">I", len(data)) + kind + data)
            stream.write(struct.pack(">I", zlib.crc32(kind + data)))
