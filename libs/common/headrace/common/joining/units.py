"""The systemd unit of a service that joined, by `headrace systemd install` of the same environment. Blocking."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from headrace.common.joining.checks import Check

SYSTEMD: Final = Path("/run/systemd/system")
"""Is there where systemd started the machine (sd_booted(3))."""
UNITS: Final = Path("/etc/systemd/system")
INSTALL_S: Final = 300.0
"""More than `headrace systemd install` allows for the start alone: so it is that which says what was waited for."""


class UnitError(Exception):
    """The unit could not be installed or started, in words."""


def unsupported() -> str | None:
    """Return why no unit can be installed here; None where one can."""
    if not SYSTEMD.is_dir():
        return "systemd does not run on this machine"
    if os.geteuid() != 0:
        return "only root may install units"
    return None


def unit_check(service: str, settings: Path) -> Check:
    """Compare the service's unit, if there is one, with the settings it is to have: one that serves another is left alone."""
    unit = UNITS / f"headrace-{service}.service"
    needed = f"none, or one of {settings}"
    if not unit.exists():
        return Check("unit", "none", needed)
    try:
        own = f":{settings}\n" in unit.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        own = False
    if own:
        return Check("unit", "its own", needed)
    mend = f"--no-service, or end the other: headrace systemd uninstall --service {service}"
    return Check("unit", f"{unit.name} of other settings", needed, mend)


def install_command(folder: Path, service: str, name: str) -> list[str]:
    """Return the command that installs, enables and starts the unit of the service with this name whose files are in `folder`."""
    words = ("--service", service, f"--{service}", name, "--now")
    return [sys.executable, "-m", "headrace.cli", "systemd", "install", str(folder), *words]


def install(command: Sequence[str]) -> None:
    """Run the command, which tells each step, until the service is ready. Raises UnitError with its last line."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}  # the join token
    try:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnitError(f"it was not ready after {INSTALL_S:g} s; systemctl status says what it waits for") from None
    except OSError as error:
        raise UnitError(error.strerror or str(error)) from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise UnitError(said[-1].removeprefix("error: "))
