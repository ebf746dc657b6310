"""Which server is meant, with which key, and that the key stays where it belongs."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from headrace.cli.config import Config, Login
from headrace.cli.errors import CliError, ExitCode
from headrace.embedded.proc import ProcessId
from headrace.embedded.state import Phase, StackState, write_state
from tests.support.fakes.manager_api import KEY, NOW, FakeManagerApi, uid
from tests.support.worlds.cli import Cli

ME = {"user": {"id": uid(1), "name": "ada", "operator": False, "created_at": NOW}, "projects": {"demo": "member"}}


def config(home: Path, **environ: str) -> Config:
    return Config({"HOME": str(home), **environ})


def running_stack(config: Config, data: Path, url: str, key: str = "local-key") -> Path:
    """Pretend that `headrace up` runs: this process says that it is the supervisor."""
    data.mkdir(mode=0o700)
    me = ProcessId.of(os.getpid())
    assert me is not None
    (data / "admin-key").write_text(key + "\n")
    write_state(
        StackState(
            phase=Phase.RUNNING,
            pid=me.pid,
            ticks=me.ticks,
            boot=me.boot,
            started_at=NOW,
            data=data,
            runtime="process",
            agents=1,
            simulate_gpus=0,
            api_url=url,
            proxy_url="http://127.0.0.1:2",
            admin_key_file=data / "admin-key",
            processes=(),
        )
    )
    config.stacks.remember(data)
    return data


def test_login_tries_the_key_and_keeps_it_private(bare: Cli, there: FakeManagerApi, home: Path) -> None:
    there.on("GET", "/v1/whoami", ME)
    ran = bare("login", "--url", there.url + "/", "--key", KEY)
    assert ran.code == 0
    file = home / ".config/headrace/config.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {"url": there.url, "key": KEY}
    assert KEY not in ran.out + ran.err
    assert bare("whoami").code == 0


def test_a_wrong_key_is_not_kept(bare: Cli, there: FakeManagerApi, home: Path) -> None:
    ran = bare("login", "--url", there.url, "--key", "hr_00_nonsense")
    assert ran.code == 4
    assert not (home / ".config/headrace/config.json").exists()


def test_logging_out_forgets_it(bare: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/whoami", ME)
    bare("login", "--url", there.url, "--key", KEY)
    assert bare("logout").code == 0
    assert bare("whoami").code == 4


def test_a_port_that_speaks_no_tls_is_told_from_one_where_nothing_runs(bare: Cli, there: FakeManagerApi) -> None:
    ran = bare("login", "--url", there.url.replace("http://", "https://"), "--key", KEY)
    assert ran.code == 3
    assert "does not speak TLS" in ran.err


def test_the_base_url_of_the_api_s_paths_is_no_server_s(bare: Cli, there: FakeManagerApi) -> None:
    ran = bare("login", "--url", f"{there.url}/v1/", "--key", KEY)
    assert ran.code == 2
    assert "ends in /v1; allowed: the server's URL without it" in ran.err


def test_the_environment_wins_over_the_stored_login(home: Path) -> None:
    config(home).store(Login(url="http://stored", key="k1"))
    found = config(home, HEADRACE_URL="http://other", HEADRACE_API_KEY="k2").target()
    assert (found.url, found.key) == ("http://other", "k2")


def test_a_key_in_the_environment_goes_to_the_stored_server(home: Path) -> None:
    config(home).store(Login(url="http://stored", key="k1"))
    found = config(home, HEADRACE_API_KEY="k2").target()
    assert (found.url, found.key) == ("http://stored", "k2")


def test_a_stored_key_goes_to_no_other_server(home: Path) -> None:
    config(home).store(Login(url="http://stored", key="k1"))
    with pytest.raises(CliError) as caught:
        config(home).target(url="http://elsewhere")
    assert caught.value.code is ExitCode.DENIED


def test_without_a_login_the_stack_that_runs_here_is_meant(home: Path) -> None:
    there = config(home)
    running_stack(there, home / "data", "http://127.0.0.1:1")
    assert (there.target().url, there.target().key) == ("http://127.0.0.1:1", "local-key")


def test_two_stacks_are_not_guessed_between(home: Path) -> None:
    there = config(home)
    running_stack(there, home / "one", "http://127.0.0.1:1")
    two = running_stack(there, home / "two", "http://127.0.0.1:2")
    with pytest.raises(CliError, match="several stacks"):
        there.target()
    assert there.target(data=two).url == "http://127.0.0.1:2"
    assert there.target(url="http://127.0.0.1:1").key == "local-key"


def test_the_data_folder_in_the_environment_says_which_stack_is_meant(home: Path) -> None:
    there = config(home)
    running_stack(there, home / "one", "http://127.0.0.1:1")
    running_stack(there, home / "two", "http://127.0.0.1:2")
    there.store(Login(url="http://stored", key="k1"))
    assert config(home, HEADRACE_DATA=str(home / "two")).target().url == "http://127.0.0.1:2"
    assert config(home, HEADRACE_DATA=str(home / "two"), HEADRACE_URL="http://stored").target().key == "k1"
    with pytest.raises(CliError, match="nothing runs on"):
        config(home, HEADRACE_DATA=str(home / "three")).target()


def test_a_stack_that_was_killed_is_none(home: Path) -> None:
    there = config(home)
    data = running_stack(there, home / "data", "http://127.0.0.1:1")
    state = json.loads((data / "state.json").read_text())
    (data / "state.json").write_text(json.dumps(state | {"ticks": state["ticks"] + 1}))
    with pytest.raises(CliError) as caught:
        there.target()
    assert caught.value.code is ExitCode.DENIED


def test_the_local_stacks_key_reaches_the_server(bare: Cli, there: FakeManagerApi, home: Path) -> None:
    there.on("GET", "/v1/whoami", ME)
    running_stack(config(home), home / "data", there.url, KEY)
    assert "ada" in bare("whoami").out


def test_a_broken_file_is_said_and_not_guessed_around(bare: Cli, home: Path) -> None:
    (home / ".config/headrace").mkdir(parents=True)
    (home / ".config/headrace/config.json").write_text("{")
    ran = bare("whoami")
    assert ran.code == 1
    assert "headrace logout removes it" in ran.err


@pytest.mark.parametrize("url", ["ftp://host", "host:8080", "http://user:secret@host", "http://"])
def test_what_is_no_url_is_refused(home: Path, url: str) -> None:
    with pytest.raises(CliError) as caught:
        config(home, HEADRACE_URL=url, HEADRACE_API_KEY="k").target()
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize("key", ["käse", "two\nlines", " "])
def test_what_cannot_be_a_key_is_refused_and_not_shown(home: Path, key: str) -> None:
    with pytest.raises(CliError, match="characters that no key has") as caught:
        config(home, HEADRACE_URL="http://there", HEADRACE_API_KEY=key).target()
    assert key.strip() not in str(caught.value) or not key.strip()


def test_targets_do_not_show_their_key() -> None:
    assert "k1" not in repr(Login(url="http://stored", key="k1"))


def test_a_key_that_leaves_the_machine_unencrypted_is_warned_of(bare: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_URL", "http://headrace.invalid")
    monkeypatch.setenv("HEADRACE_API_KEY", KEY)
    ran = bare("whoami")
    assert ran.code == 3
    assert "unencrypted" in ran.err
