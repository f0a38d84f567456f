# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Checks that no module of mast3r_ros imports itself by way of others.

import-linter compares siblings alone; this finds a package and its own module in a circle too.
Imports for type checking count.
"""

import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp


def cycle(package: str = "mast3r_ros") -> list[str]:
    """Returns the modules of one import cycle, the first one again at the end; empty for none."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=False, cache_dir=None)
    # What the analysis cannot see (compiled modules) it takes for the package itself.
    modules = graph.modules - {package}
    imports = {name: graph.find_modules_directly_imported_by(name) & modules for name in modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]][::-1]
    return []


def main() -> int:
    """Returns the exit status."""
    # The checkout, not an installed copy.
    sys.path.insert(0, str(Path.cwd()))
    if found := cycle():
        print("import cycle: " + " -> ".join(found), file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
