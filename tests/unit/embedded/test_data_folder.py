"""The data folder and what is remembered in it: privacy, ports, secrets, logs, lock, state, process identities."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.embedded.credentials import Credentials
from headrace.embedded.errors import AddressNotUsableError, AlreadyRunningError, FolderNotUsableError
from headrace.embedded.logs import bound, rotate, tail
from headrace.embedded.ports import HIGH, HOST, LOW, Ports, check_address, is_free
from headrace.embedded.private import FolderLock, data_folder, lock_holder, private_folder
from headrace.embedded.proc import ProcessId, start_ticks
from headrace.embedded.records import forget, record, recorded
from headrace.embedded.state import Phase, StackState, read_state, write_state
from tests.support.ports import free_port


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestPrivateFolder:
    def test_it_is_made_and_made_private(self, tmp_path: Path) -> None:
        folder = tmp_path / "a" / "b"
        assert mode(private_folder(folder)) == 0o700
        folder.chmod(0o755)
        assert mode(private_folder(folder)) == 0o700

    def test_a_file_in_its_place_is_refused_with_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(FolderNotUsableError, match="file cannot be used"):
            private_folder(tmp_path / "file")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another account")
    def test_a_folder_of_another_account_is_not_taken_over(self, tmp_path: Path) -> None:
        os.chown(tmp_path, 65534, 65534)
        with pytest.raises(FolderNotUsableError, match="belongs to uid 65534"):
            private_folder(tmp_path)


class TestDataFolder:
    def test_a_new_an_empty_and_its_own_one_are_taken(self, tmp_path: Path) -> None:
        assert data_folder(tmp_path / "new") == tmp_path / "new"
        (tmp_path / "new" / "logs").mkdir()
        assert data_folder(tmp_path / "new") == tmp_path / "new", "an `up` that ended early"
        with FolderLock(tmp_path / "new"):
            (tmp_path / "new" / "postgres").mkdir()
        assert data_folder(tmp_path / "new") == tmp_path / "new"

    def test_one_with_files_of_somebody_else_is_refused_and_left_as_it_is(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        for name in ("thesis.tex", "photos", "notes", "accounts"):
            (tmp_path / name).touch()
        with pytest.raises(
            FolderNotUsableError, match=r"holds other files \(accounts, notes, photos, …\); allowed: a new"
        ):
            data_folder(tmp_path)
        assert mode(tmp_path) == 0o755


class TestLock:
    def test_a_second_holder_is_refused_and_told_the_pid(self, tmp_path: Path) -> None:
        with FolderLock(tmp_path):
            assert lock_holder(tmp_path) == os.getpid()
            with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"):
                FolderLock(tmp_path).acquire()
        assert lock_holder(tmp_path) is None
        with FolderLock(tmp_path):
            pass

    def test_nobody_holds_what_does_not_exist(self, tmp_path: Path) -> None:
        assert lock_holder(tmp_path / "none") is None


def take(folder: Path, name: str, *, wanted: int | None = None, free: Callable[[int, str], bool] = is_free) -> int:
    """Start, take a port, and end."""
    with closing(Ports(folder / "p", free=free)) as ports:
        return ports.take(name, wanted=wanted)


class TestPorts:
    def test_a_port_is_remembered(self, tmp_path: Path) -> None:
        port = take(tmp_path, "nats")
        assert LOW <= port <= HIGH
        assert take(tmp_path, "nats") == port

    def test_a_port_taken_by_somebody_else_is_chosen_anew_and_that_is_remembered(self, tmp_path: Path) -> None:
        old = take(tmp_path, "nats")
        new = take(tmp_path, "nats", free=lambda port, _host: port != old)
        assert new != old
        assert take(tmp_path, "nats") == new

    def test_a_port_that_another_stack_was_given_is_not_free_before_that_stack_listens(self, tmp_path: Path) -> None:
        with closing(Ports(tmp_path / "one")) as one, closing(Ports(tmp_path / "other")) as other:
            port = one.take("nats")
            assert is_free(port)
            assert other.take("nats", wanted=port) != port
            one.close()
            assert other.take("valkey", wanted=port) == port

    def test_the_wanted_port_wins_over_the_remembered_one(self, tmp_path: Path) -> None:
        wanted = free_port()  # no other stack on this machine holds it
        stand_in = take(tmp_path, "manager", wanted=wanted, free=lambda port, _host: port != wanted)
        assert stand_in != wanted
        assert take(tmp_path, "manager", wanted=wanted, free=lambda _p, _h: True) == wanted

    def test_two_names_never_share_a_port(self, tmp_path: Path) -> None:
        with closing(Ports(tmp_path / "p", free=lambda _p, _h: True)) as ports:
            given = [ports.take(name, wanted=8080) for name in "abcdefgh"]
        assert len(set(given)) == len(given)

    def test_free_means_that_nobody_listens(self) -> None:
        with socket.socket() as listener:
            listener.bind((HOST, 0))
            listener.listen()
            port = listener.getsockname()[1]
            assert not is_free(port)
            check_address(HOST, (port,))  # a taken port is told elsewhere
        assert is_free(port)

    @pytest.mark.parametrize("host", ["192.0.2.1", "::1"])
    def test_an_address_of_no_use_is_told_from_a_port_that_is_taken(self, host: str) -> None:
        with pytest.raises(AddressNotUsableError, match=f"nobody can listen on {host}: .*; allowed: an IPv4 address"):
            check_address(host, (None,))

    def test_a_port_that_the_account_may_not_have_is_told_from_one_that_is_taken(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Refusing(socket.socket):
            def bind(self, address: Any) -> None:
                if address[1] == 80:
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(socket, "socket", Refusing)
        with pytest.raises(AddressNotUsableError, match=r"port 80 of 127\.0\.0\.1: Permission denied"):
            check_address(HOST, (None, 80))


class TestCredentials:
    def test_they_are_remembered_private_and_unlike_each_other(self, tmp_path: Path) -> None:
        file = tmp_path / "s"
        one = Credentials(file)
        made = [one.password("a"), one.password("b"), one.key_hex("k")]
        assert len(set(made)) == 3
        again = Credentials(file)
        assert [again.password("a"), again.password("b"), again.key_hex("k")] == made
        assert mode(file) == 0o600
        assert bytes.fromhex(made[2]).__len__() == 32
        assert made[0] not in repr(one)

    def test_a_password_begins_with_a_letter_and_needs_no_quoting(self, tmp_path: Path) -> None:
        credentials = Credentials(tmp_path / "s")
        for n in range(50):
            password = credentials.password(str(n))
            assert password[0].isalpha()
            assert password.isalnum()


class TestLogs:
    def test_rotation_keeps_three(self, tmp_path: Path) -> None:
        log = tmp_path / "x.log"
        for n in range(6):
            log.write_text(str(n))
            rotate(log)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["x.log.1", "x.log.2", "x.log.3"]
        assert (tmp_path / "x.log.1").read_text() == "5"

    def test_an_empty_or_missing_log_is_not_rotated(self, tmp_path: Path) -> None:
        rotate(tmp_path / "x.log")
        (tmp_path / "x.log").touch()
        rotate(tmp_path / "x.log")
        assert [p.name for p in tmp_path.iterdir()] == ["x.log"]

    def test_a_long_log_is_emptied_under_its_writer(self, tmp_path: Path) -> None:
        log = tmp_path / "x.log"
        with log.open("ab", buffering=0) as writer:
            writer.write(b"a" * 100)
            assert not bound(log, max_bytes=100)
            writer.write(b"b")
            assert bound(log, max_bytes=100)
            writer.write(b"new\n")
        assert log.read_text() == "new\n"
        assert (tmp_path / "x.log.1").read_bytes() == b"a" * 100 + b"b"

    def test_tail_returns_the_last_lines(self, tmp_path: Path) -> None:
        log = tmp_path / "x.log"
        assert tail(log) == ""
        log.write_text("\n".join(map(str, range(100))))
        assert tail(log, lines=3) == "97\n98\n99"


class TestProcessId:
    def test_this_process_is_alive_and_another_of_its_number_is_not_it(self) -> None:
        me = ProcessId.of(os.getpid())
        assert me is not None
        assert me.alive
        assert not ProcessId(me.pid, me.ticks + 1, me.boot).alive
        assert not ProcessId(me.pid, me.ticks, "another boot").alive

    def test_a_zombie_is_dead(self) -> None:
        with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.read()  # its end: from here on it is a zombie, or about to be
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            assert start_ticks(child.pid) is None

    def test_records_survive_and_are_forgotten(self, tmp_path: Path) -> None:
        me = ProcessId.of(os.getpid())
        assert me is not None
        record(tmp_path, "x", me)
        assert recorded(tmp_path, "x") == me
        forget(tmp_path, "x")
        forget(tmp_path, "x")
        assert recorded(tmp_path, "x") is None
        (tmp_path / "x.json").write_text("{")
        assert recorded(tmp_path, "x") is None


class TestState:
    def state(self, data: Path, *, ticks_off: int = 0) -> StackState:
        me = ProcessId.of(os.getpid())
        assert me is not None
        return StackState(
            phase=Phase.RUNNING,
            pid=me.pid,
            ticks=me.ticks + ticks_off,
            boot=me.boot,
            started_at=datetime.now(UTC),
            data=data,
            runtime="process",
            agents=1,
            simulate_gpus=0,
            api_url="http://127.0.0.1:8080",
            proxy_url="http://127.0.0.1:8000",
            admin_key_file=data / "admin-key",
            processes=(),
        )

    def test_it_reads_back_and_is_private(self, tmp_path: Path) -> None:
        state = self.state(tmp_path)
        write_state(state)
        assert read_state(tmp_path) == state
        assert mode(tmp_path / "state.json") == 0o600

    def test_the_state_of_a_killed_supervisor_is_none(self, tmp_path: Path) -> None:
        write_state(self.state(tmp_path, ticks_off=1))
        assert read_state(tmp_path) is None

    def test_no_file_or_a_broken_one_is_none(self, tmp_path: Path) -> None:
        assert read_state(tmp_path) is None
        (tmp_path / "state.json").write_text('{"v": 1')
        assert read_state(tmp_path) is None
