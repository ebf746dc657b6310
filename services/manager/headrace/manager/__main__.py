"""`python -m headrace.manager` runs the service; `python -m headrace.manager migrate` only brings the database up to date."""

from __future__ import annotations

import sys

from headrace.common.runtime.lean import without_rich

if __name__ == "__main__":
    without_rich()
    from headrace.manager.running import main

    sys.exit(main())
