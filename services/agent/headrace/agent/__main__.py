"""Run the agent: `python -m headrace.agent`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # structlog loads rich where it finds it, for tracebacks that we never print: 3 MB.
    sys.modules["rich"] = None  # type: ignore[assignment]
    from headrace.agent.running import main

    main()
