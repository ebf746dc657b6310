"""`headrace …`: runs a command and maps every expected error to words and an exit code."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType, ModuleType

from headrace.cli.app import build
from headrace.cli.errors import ExitCode
from headrace.cli.session import Session

# What the command line never uses, and would load at each start: what looks for plugins of pydantic in all installed
# packages, and for that reads their metadata. Where pydantic has no such module any more, this has no effect.
_no_plugins = ModuleType("pydantic.plugin._loader")
_no_plugins.get_plugins = tuple  # type: ignore[attr-defined]  # as a function of the module; it returns none
sys.modules.setdefault(_no_plugins.__name__, _no_plugins)
# The interpreter's last look for garbage would go through all that was loaded, and takes a fifth of a command's time.
atexit.register(gc.freeze)

SELDOM = 100_000
"""Objects made between two looks for garbage: what a command loads is none, and a tenth of its time would go into looking."""
RAISED_AGAIN_S = 0.5
"""Time after a SIGTERM that had no effect."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    session = Session()
    looks = gc.get_threshold()
    gc.set_threshold(SELDOM, *looks[1:])
    before = signal.signal(signal.SIGTERM, _end)
    try:
        build()(args=None if argv is None else list(argv), prog_name="headrace", obj=session)
    except SystemExit as end:
        if end.code == ExitCode.INTERRUPTED:  # the library's exception for Ctrl-C
            sys.stderr.write("interrupted\n")
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has exited, as `head` does. Buffered output must not raise at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except Exception as error:
        # Modules that explain errors are only loaded when there is one.
        from headrace.cli.failures import ended_by_signal, explain, report  # noqa: PLC0415

        code = ended_by_signal(error)
        if code is not None:
            sys.stderr.write("interrupted\n" if code == ExitCode.INTERRUPTED else "")
            return code
        failure = explain(error)
        if failure is None:
            raise
        report(failure, as_json=session.output.as_json)
        return failure.code
    finally:
        session.close()
        gc.set_threshold(*looks)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, before)
    return ExitCode.OK


def _end(number: int, _frame: FrameType | None) -> None:
    """Exit so that destructors and context managers run, and clean up a trial run or a partial file.

    Python loses an exception that a signal raises in a destructor or in a callback of C code. So it is raised again,
    unless it is being handled by then.
    """
    ending = SystemExit(128 + number)

    def again(_number: int, _frame: FrameType | None) -> None:
        handled = sys.exc_info()[1]
        while handled is not None and handled is not ending:
            handled = handled.__context__
        if handled is None:
            signal.setitimer(signal.ITIMER_REAL, RAISED_AGAIN_S)
            raise ending

    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, RAISED_AGAIN_S)
    raise ending


if __name__ == "__main__":
    sys.exit(main())
