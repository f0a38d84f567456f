# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks that are named, or all: `python -m bench matching`.

Their `main` takes no arguments and returns None or an exit status.
"""

import importlib
import pkgutil
import sys

import bench


def main() -> int:
    """Returns the exit status."""
    known = sorted(
        module.name
        for module in pkgutil.iter_modules(bench.__path__)
        if not module.name.startswith(("_", "gpu_"))
    )
    chosen = sys.argv[1:] or known
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    failed = 0
    for name in chosen:
        print(f"== {name}", flush=True)
        sys.argv = [name]  # a benchmark that reads arguments has none here
        failed |= importlib.import_module(f"bench.{name}").main() or 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
