"""Entry point of a worker process: `python -m headrace.appproxy.worker FD NUMBER`."""

from __future__ import annotations

from headrace.common.runtime.lean import load_lean

if __name__ == "__main__":
    load_lean()
    from headrace.appproxy.worker.worker import main

    main()
