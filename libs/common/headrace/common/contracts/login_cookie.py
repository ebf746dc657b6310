"""Names of the cookie of a browser's login, and of the header that its requests have besides.

Ports do not separate cookies: an endpoint on the same host gets the manager's cookie, and could set it.
"""

from __future__ import annotations

from typing import Final

SECURE_COOKIE: Final = "__Host-headrace_login"
"""Where the console is at https, or at loopback."""
PLAIN_COOKIE: Final = "headrace_login"
"""Where it is at plain http: browsers send no secure cookie there."""
LOGIN_COOKIES: Final = (SECURE_COOKIE, PLAIN_COOKIE)
CONSOLE_HEADER: Final = "X-Headrace-Console"
"""A page of another origin can set no such header without asking first, and managers answer no such question."""
