"""Run the app-proxy: `python -m headrace.appproxy`."""

from __future__ import annotations

from headrace.common.runtime.lean import load_lean

if __name__ == "__main__":
    load_lean()
    from headrace.appproxy.running import SERVICE
    from headrace.common.runtime.service import main

    main(SERVICE)
