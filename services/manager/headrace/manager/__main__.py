"""`python -m headrace.manager` runs the service; `python -m headrace.manager migrate` only brings the database up to date."""

from __future__ import annotations

import sys

from headrace.common.runtime.lean import load_lean

if __name__ == "__main__":
    load_lean()
    from headrace.manager.running import main

    sys.exit(main())
