"""Who the caller is."""

from __future__ import annotations

from headrace.common.contracts.http.page import View
from headrace.common.contracts.http.users import UserView
from headrace.common.contracts.vocabulary import Role


class WhoAmI(View):
    """The authenticated user."""

    user: UserView
    projects: dict[str, Role]
