"""The installation itself."""

from __future__ import annotations

from headrace.common.contracts.http.page import View


class Version(View):
    """Version of the server."""

    version: str
