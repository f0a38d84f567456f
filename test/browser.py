# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A page in a real browser without a window: what it draws, what it holds, what it asks for."""

import json
import shutil
import subprocess
from pathlib import Path

import cv2
import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Page:
    """A page as Chromium shows it. Skips the test where there is none.

    Attributes:
        picture: (H, W, 3) screenshot.
        dom: the document after everything has been drawn, as HTML.
        requests: addresses that were asked for, but for the page itself and what it carries.
    """

    def __init__(self, path: Path, folder: Path, size=(1200, 1600)):
        binary = next(filter(None, map(shutil.which, _NAMES)), None)
        if binary is None:
            pytest.skip("no Chromium here (apt install chromium)")
        page = path.resolve().as_uri()
        log = folder / "net.json"
        command = [
            binary, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={folder / 'profile'}", f"--window-size={size[0]},{size[1]}",
            "--disable-background-networking", "--disable-component-update", "--no-first-run",
            "--dump-dom", f"--screenshot={folder / 'page.png'}", f"--log-net-log={log}", page,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        self.dom = done.stdout
        self.picture = cv2.imread(str(folder / "page.png"))
        events = json.loads(log.read_text())["events"]
        asked = [event["params"] for event in events if "initiator" in event.get("params", {})]
        # What the browser itself asks for has no origin.
        urls = {a["url"] for a in asked if a["initiator"] != "not an origin" and "url" in a}
        self.requests = {url for url in urls if url != page and not url.startswith("data:")}
