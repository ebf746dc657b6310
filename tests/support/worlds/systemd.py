"""A machine that systemd started: a container with systemd as its first process, Debian's PostgreSQL and Redis, and NATS.

Its image is made of Debian's packages and kept in the engine; Headrace is installed on it from its wheel, in /opt/headrace.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from tests.support.wait import until

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "python3-venv", "curl", "sudo", "iproute2", "procps", "postgresql"),
    *("redis-server", "nftables"),
)
HOST = "ml.example.com"
"""Its own name, at which agents on it reach the manager."""
_RELEASE, _PYTHON = "bookworm", "3.11"
_DOCKER = (
    *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cgroupns", "private", "--stop-signal", "SIGRTMIN+3"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp", "--add-host", f"{HOST}:127.0.0.1"),
)
_BOOT = "mount --make-rshared / && exec /sbin/init"
"""Credentials are mounted in a namespace of their own, and shared with the machine's only if its root is."""
_SERVERS = """
set -eu
cd /etc/headrace
install -d -o postgres -m 0700 /etc/headrace-postgres
install -o postgres -m 0600 -t /etc/headrace-postgres tls/database.crt tls/database.key postgres/headrace.conf
sed -i s,/etc/headrace/tls/,/etc/headrace-postgres/, /etc/headrace-postgres/headrace.conf
echo "include '/etc/headrace-postgres/headrace.conf'" >>/etc/postgresql/15/main/postgresql.conf
cat postgres/pg_hba.conf /etc/postgresql/15/main/pg_hba.conf >/tmp/hba
cat /tmp/hba >/etc/postgresql/15/main/pg_hba.conf
systemctl restart postgresql
cp postgres/roles.sql /tmp/roles.sql && cd /tmp
runuser -u postgres -- createdb headrace
runuser -u postgres -- psql -q -v ON_ERROR_STOP=1 headrace </tmp/roles.sql
rm /tmp/roles.sql
id -u nats >/dev/null 2>&1 || useradd --system nats
for server in nats redis; do
    install -d -o $server -m 0700 /etc/headrace-$server
    install -d -m 0755 /var/lib/headrace
    install -d -o $server -m 0700 /var/lib/headrace/$server
    (cd /etc/headrace && install -o $server -m 0600 -t /etc/headrace-$server tls/$server.crt tls/$server.key tls/ca.crt $server/$server.conf)
    sed -i "s,/etc/headrace/tls/,/etc/headrace-$server/,g" /etc/headrace-$server/$server.conf
done
server_unit() {
    printf '[Service]\\nUser=%s\\nExecStart=%s\\nRestart=always\\n' "$2" "$3" >/etc/systemd/system/$1
    printf '[Install]\\nWantedBy=multi-user.target\\n' >>/etc/systemd/system/$1
}
server_unit nats-server.service nats '/opt/headrace/bin/nats-server -c /etc/headrace-nats/nats.conf'
server_unit tls-redis.service redis '/usr/bin/redis-server /etc/headrace-redis/redis.conf'
systemctl disable -q --now redis-server
systemctl daemon-reload
systemctl enable -q --now nats-server tls-redis
"""
"""How docs/operations.md has the servers installed."""


_PROGRAMS = """
cd /opt/headrace
ln -s . "$1"
grep -lI '^#!.*python' bin/* | xargs sed -i '1s,.*,#!/opt/headrace/bin/python,'
"""
"""Programs of the wheels there, also at the place where the line of `join-token` looks for them: it finds its version installed."""

_COMPILED = ";".join(f"import headrace.{name}.running" for name in ("manager", "appproxy", "autoscaler", "agent"))
"""Has bytecode written as root, which pip does on install and services may not: each start of theirs would compile it."""


class Machine:
    """One running container."""

    def __init__(self, name: str) -> None:
        self.name = name

    def runs(self, *command: str, given: str | bytes = "", timeout_s: float = 240) -> str:
        """Run a command as root and return its output. AssertionError with all it said if it fails."""
        data = given.encode() if isinstance(given, str) else given
        done = self.tries(*command, given=data, timeout_s=timeout_s)
        assert done.returncode == 0, f"{command}: {done.stdout.decode()}{done.stderr.decode()}\n{self.journal()}"
        return done.stdout.decode()

    def tries(self, *command: str, given: bytes = b"", timeout_s: float = 240) -> subprocess.CompletedProcess[bytes]:
        """Run a command as root, whatever comes of it."""
        words = ("docker", "exec", "-i", self.name, *command)
        return subprocess.run(words, input=given, capture_output=True, check=False, timeout=timeout_s)

    def headrace(self, *words: str) -> str:
        """Run the command line of the installed wheel."""
        return self.runs("/opt/headrace/bin/python", "-m", "headrace.cli", *words)

    def shows(self, unit: str, *names: str) -> list[str]:
        """Return properties of a unit, in this order."""
        said = self.runs("systemctl", "show", unit, *(f"--property={name}" for name in names))
        found = dict(line.split("=", 1) for line in said.splitlines())
        return [found[name] for name in names]

    def pids(self, account: str, pattern: str) -> set[str]:
        """Return the processes of an account whose command has the pattern."""
        return set(self.tries("pgrep", "-u", account, "-f", pattern).stdout.decode().split())

    def journal(self) -> str:
        """Return the end of its log."""
        return self.tries("journalctl", "--no-pager", "-n", "60", "-o", "cat").stdout.decode()

    @property
    def address(self) -> str:
        """Address at which this machine's ports are reached from here; another one after each start."""
        words = ("docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.name)
        return _said(*words).strip()

    def copy(self, here: Path, there: str) -> None:
        """Copy what is in a folder here into one there."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(here, ".", filter=_as_root)
        self.runs("mkdir", "-p", there)
        self.runs("tar", "xf", "-", "-C", there, given=archive.getvalue())

    def reboot(self) -> None:
        """Shut down in order, and start again."""
        _said("docker", "restart", "--time", "60", self.name)
        self.wait_booted()

    def wait_booted(self) -> None:
        """Return when systemd has started what it starts at boot."""
        until(
            lambda: self.tries("systemctl", "is-system-running").stdout.decode().strip() in {"running", "degraded"},
            "the machine has booted",
            within_s=120,
        )


@contextmanager
def machine(work: Path) -> Iterator[Machine]:
    """Run a machine with Headrace's wheel in /opt/headrace; `work` is a folder for what is made on the way."""
    image = _image()
    packages = _wheel_with_dependencies(work)
    made = Machine(f"headrace-test-systemd-{uuid4().hex[:8]}")
    _said("docker", "run", "--detach", "--name", made.name, *_DOCKER, image, "sh", "-c", _BOOT)
    try:
        made.wait_booted()
        made.runs("python3", "-m", "venv", "--without-pip", "/opt/headrace")
        made.copy(packages, f"/opt/headrace/lib/python{_PYTHON}/site-packages")
        made.copy(packages / "bin", "/opt/headrace/bin")
        made.runs("sh", "-c", _PROGRAMS, "sh", version("headrace"))
        made.runs("/opt/headrace/bin/python", "-c", _COMPILED)
        yield made
    finally:
        subprocess.run(["docker", "rm", "--force", made.name], capture_output=True, check=False, timeout=120)


def install_servers(on: Machine) -> None:
    """Have PostgreSQL, NATS and Redis run there by the files in /etc/headrace."""
    on.runs("sh", "-s", given=_SERVERS)


def _image() -> str:
    """Return the image of the packages; made once on each engine."""
    tag = f"headrace-test-systemd:{sha256(repr((_RELEASE, PACKAGES)).encode()).hexdigest()[:12]}"
    if subprocess.run(["docker", "image", "inspect", tag], capture_output=True, check=False, timeout=60).returncode:
        bootstrap = (
            *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
            *("--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"),
            *("--dpkgopt=force-unsafe-io", '--aptopt=Acquire::Languages "none"'),
            *(_RELEASE, "-"),
        )
        with subprocess.Popen(bootstrap, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as making:
            subprocess.run(
                ["docker", "import", "-", tag], stdin=making.stdout, capture_output=True, check=True, timeout=600
            )
            _, error = making.communicate(timeout=60)
        assert making.returncode == 0, error.decode()
    return tag


def _wheel_with_dependencies(work: Path) -> Path:
    """Build the wheel, and install it with what it depends on, in the lock's versions, into a folder for Debian's Python."""
    subprocess.run(
        [BIN / "python", "-m", "hatchling", "build", "-t", "wheel", "-d", work],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
        env={**os.environ, "HEADRACE_CONSOLE": "none"},
    )
    (wheel,) = work.glob("headrace-*.whl")
    pinned = re.findall(r"^([a-z0-9._-]+==\S+)(?: ;.*)? \\$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert pinned
    (work / "constraints").write_text("\n".join(pinned))
    target = work / "packages"
    options = ("--target", target, "--python-version", _PYTHON, "--constraints", work / "constraints")
    subprocess.run(
        [BIN / "uv", "pip", "install", "--quiet", *options, f"{wheel}[embedded]", "pip"],
        check=True,
        capture_output=True,
        timeout=240,
    )
    return target


def _as_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
