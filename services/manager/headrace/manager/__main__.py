"""Run the manager: `python -m headrace.manager`; `python -m headrace.manager migrate` only brings the database up to date."""

from __future__ import annotations

from headrace.common.runtime.lean import load_lean

if __name__ == "__main__":
    load_lean()
    from headrace.common.runtime.service import main
    from headrace.manager.running import SERVICE

    main(SERVICE)
