from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from headrace.common.runtime.settings import ServiceSettings, load_settings


class Example(ServiceSettings):
    model_config = SettingsConfigDict(
        env_prefix="HEADRACE_EXAMPLE_", toml_file="absent.toml", extra="forbid", frozen=True
    )
    listen_port: int = 8080
    password: SecretStr = SecretStr("")


def test_environment_beats_the_file_beats_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "example.toml"
    file.write_text('listen_port = 1\npassword = "from-file"\n')
    monkeypatch.setenv("HEADRACE_EXAMPLE_CONFIG", str(file))
    assert load_settings(Example).listen_port == 1
    monkeypatch.setenv("HEADRACE_EXAMPLE_LISTEN_PORT", "2")
    settings = load_settings(Example)
    assert (settings.listen_port, settings.password.get_secret_value()) == (2, "from-file")


def test_a_mistyped_variable_is_refused_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_EXAMPLE_LISTEN_PROT", "1")
    with pytest.raises(SystemExit) as stopped:
        load_settings(Example)
    assert stopped.value.code == 78
    assert "did you mean HEADRACE_EXAMPLE_LISTEN_PORT?" in capsys.readouterr().err


def test_an_unknown_key_in_the_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "example.toml"
    file.write_text("listen_prot = 1\n")
    monkeypatch.setenv("HEADRACE_EXAMPLE_CONFIG", str(file))
    with pytest.raises(SystemExit):
        load_settings(Example)
    assert "LISTEN_PROT" in capsys.readouterr().err


def test_an_error_never_shows_the_value(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HEADRACE_EXAMPLE_LISTEN_PORT", "s3cret")
    with pytest.raises(SystemExit):
        load_settings(Example)
    text = capsys.readouterr().err
    assert "LISTEN_PORT" in text
    assert "s3cret" not in text
