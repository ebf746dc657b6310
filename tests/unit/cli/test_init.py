"""`headrace init` on the command line."""

from __future__ import annotations

from pathlib import Path

from tests.support.worlds.cli import Cli


def test_an_installation_is_made_once_shown_and_rotated(bare: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    first = bare("init", folder, "--url", "https://ml.example.com")
    assert first.code == 0
    assert "tls/ca.crt" in first.out
    assert "fingerprint of the authority (SHA-256): " in first.out
    again = bare("init", folder)
    assert again.code == 0
    assert again.out.startswith(f"{folder}: nothing to do, all files are there\n")
    shown = bare("init", folder, "--show")
    assert "admin.key" in shown.out
    assert "API key of the first operator" in shown.out
    rotated = bare("init", folder, "--rotate", "redis-password")
    assert "1. Run docker compose up -d" in rotated.out
    assert "2. Restart Redis" in rotated.out
    secret = (folder / "admin.key").read_text().strip()
    assert not [ran for ran in (first, again, shown, rotated) if secret in ran.out + ran.err]


def test_programs_get_an_object(bare: Cli, tmp_path: Path) -> None:
    made = bare("init", tmp_path / "etc", "--url", "https://ml.example.com", "--json").json
    assert made["changed"] is True
    assert {"path": "tls/api.key", "what": "private key of the API", "secret": True, "found": "made"} in made["files"]
    assert bare("init", tmp_path / "etc", "--json").json["changed"] is False


def test_wrong_use_is_one_line_and_changes_nothing(bare: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    refused = bare("init", folder, "--url", "http://ml.example.com")
    assert refused.code == 1
    assert "--url: found http://ml.example.com; allowed: https://HOST[:PORT]" in refused.err
    assert bare("init", folder, "--show").code == 1
    assert bare("init", folder, "--show", "--rotate", "ca").code == 2
    assert bare("init", folder, "--rotate", "ca", "--url", "https://x").code == 2
    assert bare("init", folder, "--layout", "cloud").code == 2
    assert not folder.exists()


def test_a_changed_file_is_named(bare: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    bare("init", folder, "--url", "https://ml.example.com")
    (folder / ".env").write_text("mine\n")
    again = bare("init", folder)
    assert "left as they are, since somebody changed them: .env" in again.err
    assert (folder / ".env").read_text() == "mine\n"


def test_a_rotation_that_a_changed_file_prevents_is_one_line_and_fails(bare: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    bare("init", folder, "--url", "https://ml.example.com")
    (folder / "nats/nats.conf").write_text("mine\n")
    refused = bare("init", folder, "--rotate", "bus:agent-1")
    assert refused.code == 1
    assert refused.out == ""
    assert "found nats/nats.conf changed by somebody" in refused.err


def test_a_rotation_of_the_authority_shows_its_step(bare: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    bare("init", folder, "--url", "https://ml.example.com")
    assert "rotation of the authority" not in bare("init", folder, "--show").out
    assert "fingerprint of the next authority" in bare("init", folder, "--rotate", "ca").out
    assert "rotation of the authority: step 1 of 3" in bare("init", folder, "--show").out
    assert bare("init", folder, "--rotate", "ca-issue").code == 0
    assert "step 2 of 3" in bare("init", folder, "--show", "--json").json["ca_rotation"]
    assert bare("init", folder, "--rotate", "ca-finish").code == 0
    assert bare("init", folder, "--show", "--json").json["ca_rotation"] is None


def test_a_value_that_is_none_of_the_allowed_is_told_without_the_library_s_words(bare: Cli, tmp_path: Path) -> None:
    ran = bare("init", tmp_path / "etc", "--url", "https://ml.example.com", "--layout", "k8s")
    assert ran.code == 2
    assert "'--layout': 'k8s' is not one of 'compose', 'host'" in ran.err
