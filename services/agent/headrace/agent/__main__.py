"""Run the agent: `python -m headrace.agent`."""

from __future__ import annotations

from headrace.common.runtime.lean import without_rich

if __name__ == "__main__":
    without_rich()
    from headrace.agent.running import main

    main()
