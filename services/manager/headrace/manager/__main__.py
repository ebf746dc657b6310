"""`python -m headrace.manager` runs the service; `python -m headrace.manager migrate` only brings the database up to date."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # structlog loads rich where it finds it, for tracebacks that we never print: 3 MB.
    sys.modules["rich"] = None  # type: ignore[assignment]
    from headrace.manager.running import main

    sys.exit(main())
