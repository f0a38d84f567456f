# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Prints the notes of a release: that version's section of CHANGELOG.md.

Run it with the version. Fails where the section is missing, empty, or not the version
of package.xml, so that a tag without notes makes no release.
"""

import re
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


class NotesError(Exception):
    """There are no notes to release with. The message says what to do."""


def notes(root: Path, version: str) -> str:
    """Returns the section of a version, without its heading.

    Raises:
        NotesError: It is missing or empty, or package.xml has another version.
    """
    manifest = re.search(r"<version>(.*?)</version>", (root / "package.xml").read_text())
    if manifest is None or manifest[1] != version:
        found = manifest[1] if manifest else "none"
        raise NotesError(f"package.xml: version {found}, tag {version}: make them equal")
    text = (root / "CHANGELOG.md").read_text()
    section = re.search(
        rf"^## \[{re.escape(version)}\].*?\n(.*?)(?=^## \[|\Z)", text, re.MULTILINE | re.DOTALL
    )
    body = section[1].strip() if section else ""
    if not body:
        raise NotesError(f"CHANGELOG.md: no notes for {version}: write a section '## [{version}]'")
    return body


def main() -> int:
    """Returns the exit status."""
    try:
        print(notes(_ROOT, sys.argv[1]))
    except NotesError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
