"""Run one worker: `python -m headrace.appproxy.workers FD NUMBER`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # structlog loads rich where it finds it, for tracebacks that we never print: 4 MB in each worker.
    sys.modules["rich"] = None  # type: ignore[assignment]
    from headrace.appproxy.workers.worker import main

    main()
