# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The published weights are fetched only where their terms were accepted."""

from pathlib import Path

import huggingface_hub
import pytest

from mast3r_ros.common.cache import cache_folder
from mast3r_ros.network import fetch


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAST3R_ROS_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def nano(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the package's own weights would be."""
    path = tmp_path / "weights" / "nano.safetensors"
    path.parent.mkdir()
    monkeypatch.setattr(fetch, "nano_checkpoint", lambda: path)
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A hub that answers every request with a small file, and the requests it got."""
    requests = []

    def download(repository: str, name: str, local_dir: Path) -> str:
        requests.append((repository, name))
        local_dir.mkdir(parents=True)
        (local_dir / name).write_bytes(b"weights")
        return str(local_dir / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return requests


def test_nothing_is_fetched_before_the_terms_are_accepted(cache: Path, hub: list) -> None:
    with pytest.raises(fetch.LicenseNotAcceptedError) as caught:
        fetch.fetch_checkpoint(accept_license=False)
    for words in ("no commercial use", "CC BY-NC-SA 4.0", "Map-free", "--accept-license"):
        assert words in str(caught.value)
    assert hub == []


def test_fetched_once_into_the_cache(cache: Path, hub: list) -> None:
    path = fetch.fetch_checkpoint(accept_license=True)
    assert path.read_bytes() == b"weights"
    assert path.is_relative_to(cache)
    assert fetch.find_checkpoint() == path
    assert fetch.fetch_checkpoint(accept_license=True) == path
    assert hub == [(fetch.REPOSITORY, "model.safetensors")]


def test_our_own_weights_stand_in_for_the_published(cache: Path, nano: Path) -> None:
    nano.touch()
    assert fetch.find_checkpoint() == fetch.find_checkpoint("") == nano
    assert "fetch-checkpoint" in fetch.note_on("", nano)
    assert fetch.find_checkpoint("nano") == nano
    assert fetch.note_on("nano", nano) == ""
    with pytest.raises(fetch.CheckpointMissingError, match="MASt3R_ViTLarge"):
        fetch.find_checkpoint("published")
    published = fetch.published_checkpoint()
    published.parent.mkdir()
    published.touch()
    assert fetch.find_checkpoint() == fetch.find_checkpoint("published") == published
    assert fetch.note_on("", published) == ""
    assert fetch.find_checkpoint("nano") == nano


def test_our_own_weights_lie_beside_the_code() -> None:
    assert fetch.nano_checkpoint().parent == Path(fetch.__file__).resolve().parents[1] / "weights"


def test_missing_weights_say_how_to_get_them(cache: Path, nano: Path, tmp_path: Path) -> None:
    with pytest.raises(fetch.CheckpointMissingError, match="fetch-checkpoint --accept-license"):
        fetch.find_checkpoint()
    with pytest.raises(fetch.CheckpointMissingError, match=r"mine\.pth"):
        fetch.find_checkpoint(tmp_path / "mine.pth")
    (tmp_path / "mine.pth").touch()
    assert fetch.find_checkpoint(tmp_path / "mine.pth") == tmp_path / "mine.pth"


def test_a_failed_download_says_what_else_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> str:
        raise huggingface_hub.errors.OfflineModeIsEnabled("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(RuntimeError, match=r"copy the file to"):
        fetch.fetch_checkpoint(accept_license=True)


def test_the_cache_follows_the_desktop_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAST3R_ROS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/mast3r_ros")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/mast3r_ros"
