"""Run the autoscaler: `python -m headrace.autoscaler`."""

from __future__ import annotations

from headrace.common.runtime.lean import without_rich

if __name__ == "__main__":
    without_rich()
    from headrace.autoscaler.running import main

    main()
