"""Run one worker: `python -m headrace.appproxy.workers FD NUMBER`."""

from __future__ import annotations

from headrace.common.runtime.lean import without_rich

if __name__ == "__main__":
    without_rich()
    from headrace.appproxy.workers.worker import main

    main()
