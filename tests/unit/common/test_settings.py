from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Self

import pytest
from pydantic import SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from headrace.common.runtime.settings import ServiceSettings, load_settings


class Example(ServiceSettings):
    model_config = SettingsConfigDict(
        env_prefix="HEADRACE_EXAMPLE_", toml_file="absent.toml", extra="forbid", frozen=True
    )
    listen_port: int = 8080
    peers: tuple[IPv4Network | IPv6Network, ...] = ()
    password: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.listen_port == 1 and self.peers:
            raise ValueError("listen_port 1 takes no peers")
        return self


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
    assert f"{file}: listen_prot is not a setting (did you mean listen_port?)\n" in capsys.readouterr().err


def test_an_error_never_shows_the_value(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HEADRACE_EXAMPLE_LISTEN_PORT", "s3cret")
    with pytest.raises(SystemExit):
        load_settings(Example)
    text = capsys.readouterr().err
    assert "LISTEN_PORT" in text
    assert "s3cret" not in text


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        load_settings(Example)
    assert stopped.value.code == 78
    text = capsys.readouterr().err
    assert text.startswith("configuration error: ")
    assert text.count("\n") == 1, "one line, and no traceback"
    return text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory; allowed: a TOML file that can be read"),
        (b"listen_port = \n", "Invalid value (at line 1, column 15); allowed: TOML"),
        (b"password = '\xff'", "found a byte at 12 that is not UTF-8; allowed: TOML"),
    ],
)
def test_a_file_that_is_named_and_cannot_be_read_is_not_passed_over(
    content: bytes | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "example.toml"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("HEADRACE_EXAMPLE_CONFIG", str(file))
    text = refused(capsys)
    assert str(file) in text
    assert said in text


def test_wrong_settings_are_said_in_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HEADRACE_EXAMPLE_LISTEN_PORT", "many")
    monkeypatch.setenv("HEADRACE_EXAMPLE_PEERS", '["10.0.0.0/8", "nowhere"]')
    assert refused(capsys) == (
        "configuration error: HEADRACE_EXAMPLE_LISTEN_PORT: allowed: a whole number; "
        "HEADRACE_EXAMPLE_PEERS[1]: allowed: an IPv4 network, for example 10.0.0.0/8, or an IPv6 network, for example fd00::/8\n"
    )


def test_a_list_that_is_no_json_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_EXAMPLE_PEERS", "10.0.0.0/8")
    assert refused(capsys).endswith("HEADRACE_EXAMPLE_PEERS: allowed: JSON, as a list or a table is written\n")


def test_settings_that_do_not_fit_each_other_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_EXAMPLE_LISTEN_PORT", "1")
    monkeypatch.setenv("HEADRACE_EXAMPLE_PEERS", '["10.0.0.0/8"]')
    with pytest.raises(SystemExit) as stop:
        load_settings(Example)
    assert stop.value.code == 78
    assert capsys.readouterr().err == "configuration error: listen_port 1 takes no peers\n"
