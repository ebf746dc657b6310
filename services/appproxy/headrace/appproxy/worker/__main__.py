"""Entry point of a worker process: `python -m headrace.appproxy.worker FD NUMBER`."""

from __future__ import annotations

from headrace.common.runtime.lean import without_rich

if __name__ == "__main__":
    without_rich()
    from headrace.appproxy.worker.worker import main

    main()
