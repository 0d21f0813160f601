# SPDX-License-Identifier: GPL-3.0-or-later
"""Records sequences of a dataset in a process of its own. Arguments: FOLDER SEED… (after `--` inside Blender)."""

import importlib.util
import sys
from pathlib import Path


def package(name: str = "nephim_child"):
    """This package under a name of its own, wherever its folder lies and whatever Blender calls it."""
    root = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(name, root / "__init__.py", submodule_search_locations=[str(root)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return name


def main(folder: str, *seeds: str) -> None:
    dataset = importlib.import_module(f"{package()}.nn.dataset")
    recorder = dataset.Recorder(Path(folder))
    for seed in seeds:
        recorder.sequence(int(seed))


if __name__ == "__main__":
    main(*(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]))
