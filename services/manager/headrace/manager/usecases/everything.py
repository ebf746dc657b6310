"""All use cases, as the API is given them."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.manager.usecases.auth import Authentication
from headrace.manager.usecases.changes import Changes
from headrace.manager.usecases.fleet import Fleet
from headrace.manager.usecases.folders import Folders
from headrace.manager.usecases.history import History
from headrace.manager.usecases.logs import Logs
from headrace.manager.usecases.projects import Projects
from headrace.manager.usecases.rules import Rules
from headrace.manager.usecases.services import Services
from headrace.manager.usecases.tokens import Tokens
from headrace.manager.usecases.uploads import Uploads
from headrace.manager.usecases.users import Users
from headrace.manager.usecases.validations import Validations


@dataclass(frozen=True)
class UseCases:
    """One object per noun; wiring builds them."""

    auth: Authentication
    projects: Projects
    users: Users
    folders: Folders
    uploads: Uploads
    services: Services
    changes: Changes
    tokens: Tokens
    rules: Rules
    history: History
    logs: Logs
    validations: Validations
    fleet: Fleet
