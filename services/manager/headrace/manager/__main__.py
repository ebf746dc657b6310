"""Run the manager: `python -m headrace.manager`; `python -m headrace.manager migrate` only migrates the database."""

from __future__ import annotations

from headrace.common.runtime.lean import load_lean
from headrace.common.runtime.lean_http import load_http

if __name__ == "__main__":
    load_lean()
    load_http()
    from headrace.common.runtime.service import main
    from headrace.manager.running import SERVICE

    main(SERVICE)
