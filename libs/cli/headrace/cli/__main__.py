"""`headrace …`: runs a command and maps every expected error to words and an exit code."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from types import ModuleType

from headrace.cli.app import build
from headrace.cli.errors import ExitCode
from headrace.cli.session import Session
from headrace.cli.signals import EndingSignals

# What the command line never uses, and would load at each start: what looks for plugins of pydantic in all installed
# packages, and for that reads their metadata. Where pydantic has no such module any more, this has no effect.
_no_plugins = ModuleType("pydantic.plugin._loader")
_no_plugins.get_plugins = tuple  # type: ignore[attr-defined]  # as a function of the module; it returns none
sys.modules.setdefault(_no_plugins.__name__, _no_plugins)
# The interpreter's last look for garbage would go through all that was loaded, and takes a fifth of a command's time.
atexit.register(gc.freeze)

SELDOM = 100_000
"""Objects made between two looks for garbage: what a command loads is none, and a tenth of its time would go into looking."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    session = Session()
    looks = gc.get_threshold()
    gc.set_threshold(SELDOM, *looks[1:])
    try:
        with EndingSignals() as signals, closing(session):
            return _run(session, argv, signals)
    finally:
        gc.set_threshold(*looks)


def _run(session: Session, argv: Sequence[str] | None, signals: EndingSignals) -> int:
    words = sys.argv[1:] if argv is None else list(argv)
    # known before the line is understood, since its errors are JSON, too; the library prints those for people itself
    as_json = "--json" in words[: words.index("--") if "--" in words else None]
    try:
        code = build()(args=words, prog_name="headrace", obj=session, standalone_mode=not as_json)
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # the reader of our output has exited, as `head` does
        _drop_output()
        return ExitCode.FAILED
    except Exception as error:
        # Modules that explain errors are only loaded when there is one.
        from headrace.cli.failures import ended_by_signal, explain, report  # noqa: PLC0415

        code = ended_by_signal(error, signals.received())
        if code is not None:
            return _interrupted(as_json=as_json) if code == ExitCode.INTERRUPTED else code
        failure = explain(error)
        if failure is None:
            raise
        report(failure, as_json=as_json)
        try:
            sys.stdout.flush()
        except OSError:  # the disk of our output is full
            _drop_output()
        return failure.code
    if code == ExitCode.INTERRUPTED:  # the library's exception for Ctrl-C, too
        return _interrupted(as_json=as_json)
    return code if isinstance(code, int) else int(bool(code))


def _interrupted(*, as_json: bool) -> int:
    from headrace.cli.failures import INTERRUPTED, report  # noqa: PLC0415 - as above

    report(INTERRUPTED, as_json=as_json)
    return ExitCode.INTERRUPTED


def _drop_output() -> None:
    """Send what is left in the buffer nowhere: Python would write it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
