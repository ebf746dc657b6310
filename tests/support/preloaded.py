"""What the process that services are forked from imports, in the order in which a service does: see forked.py."""

from headrace.common.runtime.lean import load_lean
from headrace.common.runtime.lean_http import load_http

load_lean()
load_http()

import headrace.agent.running  # noqa: E402
import headrace.manager.running  # noqa: E402, F401
