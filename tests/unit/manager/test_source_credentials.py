"""Credentials of model sources: which one is used for which URI and project, and what is said of a file that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.manager.domain.model_source import SourceError
from headrace.manager.sources.credentials import Credentials

FILE = """
[[credentials]]
uri = "hf://acme"
projects = ["*"]
token = "all"

[[credentials]]
uri = "hf://acme/tiny"
projects = ["a", "b"]
token = "one"

[[credentials]]
uri = "https://models.example/team/"
projects = ["a"]
token = "web"

[[credentials]]
uri = "s3://weights/"
projects = ["a"]
access_key_id = "AK"
secret_access_key = "keys"
"""


def credentials(folder: Path, text: str) -> Credentials:
    (folder / "credentials.toml").write_text(text)
    return Credentials(folder / "credentials.toml")


@pytest.mark.parametrize(
    ("uri", "project", "token"),
    [
        ("hf://acme/tiny", "a", "one"),
        ("hf://acme/tiny@v1", "b", "one"),
        ("hf://acme/tiny", "c", "all"),
        ("hf://acme/tiny-2", "a", "all"),
        ("hf://acme-evil/tiny", "a", None),
        ("hf://other/tiny", "a", None),
        ("https://models.example/team/x", "a", "web"),
        ("https://models.example/team/x", "c", None),
        ("https://models.example/teams", "a", None),
        ("https://models.example.evil/team/x", "a", None),
        ("s3://weights/x", "a", ""),
        ("s3://weights-2/x", "a", None),
    ],
)
def test_the_longest_uri_that_fits_is_used(tmp_path: Path, uri: str, project: str, token: str | None) -> None:
    found = credentials(tmp_path, FILE).find(uri, project)
    assert (None if found is None else found.token.get_secret_value()) == token
    assert "keys" not in repr(found)


def test_without_a_file_there_is_none() -> None:
    assert Credentials(None).find("hf://acme/tiny", "a") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[credentials]", "is no TOML"),
        (
            '[[credentials]]\nuri = "hf://a"\nprojects = []\ntoken = "hidden"',
            r"is invalid at credentials\[0\].projects",
        ),
        (
            '[[credentials]]\nuri = "http://a/"\nprojects = ["*"]\ntoken = "hidden"',
            r"is invalid at credentials\[0\].uri",
        ),
        ('[[credentials]]\nuri = "s3://a/"\nprojects = ["*"]\ntoken = "hidden"', r"is invalid at credentials\[0\]"),
        (
            '[[credentials]]\nuri = "hf://a/"\nprojects = ["*"]\naccess_key_id = "hidden"',
            r"is invalid at credentials\[0\]",
        ),
        ('token = "hidden"', "is invalid at token"),
        ("#" * 2**20 + "#", "has more than 1048576 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_no_secret(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SourceError, match=words) as refused:
        credentials(tmp_path, text).find("hf://a/b", "a")
    assert "hidden" not in refused.value.text


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        Credentials(tmp_path / "none").find("hf://a/b", "a")
