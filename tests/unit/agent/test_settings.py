"""Settings of the agent that depend on each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.factories.settings import agent_settings


def test_an_agent_that_fetches_folders_needs_managers_and_no_storage(tmp_path: Path) -> None:
    settings = agent_settings(
        tmp_path, folder_access="fetch", folders_root=None, manager_urls=("https://a:8080", "https://b:8080")
    )
    assert settings.cache_dir == tmp_path / "agent" / "folder-cache"
    assert agent_settings(tmp_path, folder_cache_dir=Path("/cache")).cache_dir == Path("/cache")
    one = agent_settings(tmp_path, folder_access="fetch", manager_urls="https://a:8080")
    assert one.manager_urls == ("https://a:8080",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"folders_root": None}, "folders_root must be set, or folder_access be fetch"),
        ({"folder_access": "fetch"}, "needs manager_urls"),
        ({"folder_access": "fetch", "manager_urls": ("ftp://a",)}, "manager_urls"),
        ({"folder_access": "fetch", "manager_urls": ("https://a/path",)}, "manager_urls"),
        ({"folder_cache_dir": Path("relative")}, "folder_cache_dir relative must be an absolute path"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        agent_settings(tmp_path, **changes)
