"""Launcher, run by a child process just before its program: bind its life to the parent's, change identity, exec.

A script of its own, started as `python -I -S launch.py PARENT_PID SIGNAL IDENTITY FDS PROGRAM [ARG…]`, because the
same steps in a `preexec_fn` would run Python between fork and exec in a process that may have threads.

PARENT_PID  the process whose death ends this one; if it is dead already, exit 125 at once
SIGNAL      number of the signal the kernel sends when the parent dies (prctl(2), PR_SET_PDEATHSIG)
IDENTITY    `same`               as the caller
            `namespace:UID:GID`  a user namespace in which the caller appears as that account: a program that refuses
                                 uid 0 runs, and files stay the caller's
            `account:UID:GID`    that account, keeping CAP_DAC_OVERRIDE so that private folders stay reachable;
                                 for root where user namespaces are forbidden (containers)
FDS         `-`, or `NAME=FD,NAME=FD…`: descriptors that the program gets as from a socket unit of systemd
            (sd_listen_fds(3)): from 3 on, with LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522
CLONE_NEWUSER = 0x10000000
PARENT_GONE = 125

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _prctl(what: str, option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    _check(_libc.prctl(ctypes.c_int(option), *padded), what)


def enter_namespace(uid: int, gid: int) -> None:
    """Switch to `uid` and `gid` in a new user namespace that maps them to the caller's own."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _check(_libc.unshare(ctypes.c_int(CLONE_NEWUSER)), "unshare")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1", encoding="ascii")


def become_account(uid: int, gid: int) -> None:
    """Switch to `uid` and `gid` for good, keeping only CAP_DAC_OVERRIDE across the coming exec."""
    # access(2) ignores the capabilities of other accounts than root unless this bit is set, and PostgreSQL looks at
    # its own binaries with access(2). Where the bit may not be set, binaries that everybody can read still work.
    with suppress(OSError):
        _prctl("keep capabilities in access(2)", PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    _prctl("keep capabilities", PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    only = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0)
    _check(_libc.capset(header, data), "capset")
    _prctl("raise ambient capability", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def hand_over(listed: str) -> None:
    """Move the descriptors to the numbers of the socket activation protocol, and set its variables."""
    parts = [one.rpartition("=") for one in listed.split(",")]
    given = [int(number) for _, _, number in parts]
    # First move them away from the target numbers, then to these: dup2 clears close-on-exec.
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3 + len(given)) for fd in given]
    for fd in given:
        os.close(fd)  # a copy unknown to the program would keep listening after it closed its own
    for at, fd in enumerate(high):
        os.dup2(fd, 3 + at)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(given))
    os.environ["LISTEN_FDNAMES"] = ":".join(name for name, _, _ in parts)


def main(argv: list[str]) -> None:
    """Run the steps of the module's docstring; does not return."""
    parent, deathsig, identity, descriptors, *program = argv
    if descriptors != "-":
        hand_over(descriptors)
    kind, *account = identity.split(":")
    if kind != "same":
        uid, gid = map(int, account)
        {"namespace": enter_namespace, "account": become_account}[kind](uid, gid)
    # After the change of identity, which would clear it; it survives the exec.
    _prctl("bind to parent", PR_SET_PDEATHSIG, int(deathsig))
    if os.getppid() != int(parent):
        os._exit(PARENT_GONE)
    os.execv(program[0], program)  # noqa: S606 - this is the launcher; the caller gives an absolute path


if __name__ == "__main__":
    main(sys.argv[1:])
