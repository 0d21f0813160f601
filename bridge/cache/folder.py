# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies beside a .blend: the only place that knows the names of these files."""

from dataclasses import dataclass
from pathlib import Path

from ...errors import CacheError


@dataclass(frozen=True)
class Folder:
    """`FILE.nephim` beside FILE.blend, and the files in it."""

    path: Path

    @property
    def volume(self) -> Path:
        return self.path / "volume.npz"

    @property
    def cache(self) -> Path:
        return self.path / "simulation.pc2"

    @property
    def attached(self) -> Path:
        """Point caches of objects that hang on the skin."""
        return self.path / "attached"

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    @property
    def fit(self) -> Path:
        """How well landmarks were fitted."""
        return self.path / "fit.json"

    @property
    def plot(self) -> Path:
        return self.path / "report.png"

    @property
    def sheet(self) -> Path:
        return self.path / "contact-sheet.png"

    def compared(self, mode: str) -> Path:
        """Point cache of a mode that the scene is not in, for comparison."""
        return self.path / "compared" / f"{mode}.pc2"

    @property
    def comparison(self) -> Path:
        """The folder of films and sheets that show the methods side by side."""
        return self.path / "comparison"

    @property
    def weights(self) -> Path:
        """The character's own network."""
        return self.path / "network.npz"

    @property
    def recordings(self) -> Path:
        return self.path / "network"

    @property
    def evaluation(self) -> Path:
        return self.path / "network.json"

    @property
    def training(self) -> Path:
        """Which process trains the network."""
        return self.path / "training.json"

    @property
    def training_log(self) -> Path:
        return self.path / "training.log"


def folder_beside(blend: str | Path) -> Folder:
    """`FILE.nephim` beside FILE.blend. Raises CacheError if the .blend has never been saved."""
    if not str(blend):
        raise CacheError(
            "The .blend has never been saved, so there is no place for the cache.", advice="Save it first."
        )
    return Folder(Path(blend).with_suffix(".nephim"))
