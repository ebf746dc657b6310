"""Run the autoscaler: `python -m headrace.autoscaler`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # structlog loads rich where it finds it, for tracebacks that we never print: 3 MB.
    sys.modules["rich"] = None  # type: ignore[assignment]
    from headrace.autoscaler.running import main

    main()
