# SPDX-License-Identifier: GPL-3.0-or-later
"""Records sequences of a dataset in a process of its own. Arguments: PACKAGE FOLDER SEED… (after `--` in Blender)."""

import importlib.util
import sys
from pathlib import Path


def load_package(name: str) -> None:
    """This package, wherever its folder lies, under the name it has in the process that asked.

    Another name would not do: compiled functions are cached beside the code together with the name of their module,
    and the next process would look for it in vain.
    """
    root = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(name, root / "__init__.py", submodule_search_locations=[str(root)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def main(package: str, folder: str, *seeds: str) -> None:
    load_package(package)
    dataset = importlib.import_module(f"{package}.nn.dataset")
    recorder = dataset.Recorder(Path(folder))
    for seed in seeds:
        recorder.sequence(int(seed))


if __name__ == "__main__":
    main(*(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]))
