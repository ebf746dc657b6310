"""Entry points of the manager process and of the database migration."""

from __future__ import annotations

from headrace.common.db.migrate import migrate
from headrace.common.runtime.service import Service
from headrace.manager.settings import Settings, database_address
from headrace.manager.wiring import build


async def _migrate(settings: Settings) -> str:
    applied = await migrate(database_address(settings))
    return f"applied {applied or 'nothing; the database is up to date'}"


SERVICE = Service("manager", Settings, build, commands={"migrate": _migrate})
