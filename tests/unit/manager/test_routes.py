"""Where routes are declared."""

from __future__ import annotations

from pathlib import Path

from headrace.manager import api
from headrace.manager.api.app import ENDPOINTS

_FILES = {path.stem for path in Path(api.__path__[0]).glob("*.py")}
_OF_OTHER_NOUNS = {
    "GET /v1/projects/{project}/usage",
    "GET /v1/usage.csv",
    "GET /v1/openapi.json",
    "GET /v1/version",
    "GET /v1/services",  # lists have a file of their own
    "GET /v1/services/counts",
    "GET /v1/schemas/{name}",  # of definition files
    "POST /v1/folders/{folder}/check",  # of definition files
    "POST /v1/folders/{folder}/directories",  # of files
    "POST /v1/folders/{folder}/moves",  # of files
    "POST /v1/login-codes",
    "PUT /v1/users/{user}/password",  # to log in by
}


def _noun(path: str) -> str | None:
    """The last part of a path that a file is named by: `receipt` in /v1/services/{service}/revisions/{revision}/receipt."""
    parts = path.removeprefix("/v1/").replace("-", "_").split("/")
    return next((name for part in reversed(parts) for name in (part, f"{part}s", f"{part}ing") if name in _FILES), None)


def test_each_route_is_declared_in_the_file_that_its_noun_names() -> None:
    elsewhere = {
        f"{endpoint.method} {endpoint.path}": endpoint.handler.__module__
        for endpoint in ENDPOINTS
        if endpoint.handler.__module__.rpartition(".")[2] != _noun(endpoint.path)
    }
    assert set(elsewhere) == _OF_OTHER_NOUNS, elsewhere
