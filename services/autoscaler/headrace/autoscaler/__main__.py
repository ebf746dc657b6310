"""Run the autoscaler: `python -m headrace.autoscaler`."""

from __future__ import annotations

from headrace.common.runtime.lean import load_lean

if __name__ == "__main__":
    load_lean()
    from headrace.autoscaler.running import SERVICE
    from headrace.common.runtime.service import main

    main(SERVICE)
