"""Run the autoscaler: `headrace-autoscaler`, or `python -m headrace.autoscaler`; with `join …` join an installation."""

from __future__ import annotations

import sys

from headrace.common.runtime.lean import load_lean
from headrace.common.runtime.lean_http import load_http


def run() -> None:
    """Run the process."""
    if sys.argv[1:2] == ["join"]:
        from headrace.autoscaler.join import JOINER  # noqa: PLC0415 - the service needs none of it
        from headrace.common.joining.command import join  # noqa: PLC0415

        sys.exit(join(JOINER, sys.argv[2:]))
    load_lean()
    load_http()
    from headrace.autoscaler.running import SERVICE  # noqa: PLC0415
    from headrace.common.runtime.service import main  # noqa: PLC0415

    main(SERVICE)


if __name__ == "__main__":
    run()
