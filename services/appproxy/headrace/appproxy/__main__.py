"""Run the app-proxy: `python -m headrace.appproxy`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # structlog loads rich where it finds it, for tracebacks that we never print: 3 MB, as in every worker.
    sys.modules["rich"] = None  # type: ignore[assignment]
    from headrace.appproxy.running import main

    main()
