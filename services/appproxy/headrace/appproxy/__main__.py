"""Run the app-proxy: `python -m headrace.appproxy`."""

from __future__ import annotations

from headrace.common.runtime.lean import without_rich

if __name__ == "__main__":
    without_rich()
    from headrace.appproxy.running import main

    main()
