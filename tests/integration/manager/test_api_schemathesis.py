"""The OpenAPI document is served, and whatever fits (or does not fit) it gets no 5xx and only documented answers."""

from __future__ import annotations

import asyncio
import itertools
import json
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from schemathesis.core.result import Ok

from headrace.common.db.pool import Pool
from headrace.manager.api.app import ENDPOINTS
from headrace.manager.api.app import document as make_document
from tests.support.effort import examples
from tests.support.worlds.manager_api import ManagerApi, serving

with warnings.catch_warnings():  # its imports use what other libraries deprecate
    warnings.simplefilter("ignore")
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis import GenerationMode, checks

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.ignored_auth,
    checks.unsupported_method,
]
EXAMPLES = 8


@schemathesis.serializer("application/offset+octet-stream", "application/x-tar")
def _octets(_: Any, value: Any) -> bytes:
    """Send whatever was generated as bytes."""
    return value if isinstance(value, bytes) else repr(value).encode()


async def test_the_document_is_served(api: ManagerApi) -> None:
    async with httpx.AsyncClient(verify=False, timeout=60, base_url=api.url) as http:
        document = (await http.get("/v1/openapi.json")).json()
    assert document == json.loads(json.dumps(make_document()))
    assert document["openapi"].startswith("3.1")
    operations = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert operations == {(endpoint.method, endpoint.shown_path) for endpoint in ENDPOINTS}
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.filterwarnings("ignore")
async def test_no_server_error_and_nothing_undocumented(pool: Pool, tmp_path: Path) -> None:
    async with _endpoint() as url, serving(pool, tmp_path, proxy_url=url) as api:
        failures = await asyncio.to_thread(_explore, api.url, api.admin.key)
    assert not failures, "\n".join(failures)


def _explore(url: str, key: str) -> list[str]:
    schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json", timeout=60)
    failures: list[str] = []
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(verify=False, timeout=60, base_url=url, headers=headers) as http:
        for result in schema.get_all_operations():
            assert isinstance(result, Ok)
            operation = result.ok()
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _make_what_is_missing(http)
                try:
                    _one(operation, mode, headers)
                except Unsatisfiable:
                    pass  # nothing can be wrong about a request without parameters
                except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - every kind of failure is one line
                    failures.append(f"{operation.label} ({mode}): {error}")
    return failures


def _make_what_is_missing(http: httpx.Client) -> None:
    http.post("/v1/projects", json={"name": "project"})
    http.post("/v1/folders", json={"name": "folder", "project": "project"})
    http.post("/v1/services", json={"name": "service", "runtime": "cmd", "project": "project"})
    http.post("/v1/users", json={"name": "user"})


MAX_FIELD = 4000
"""Characters of a header field: HTTP's own parser refuses longer ones before the API sees them."""


@asynccontextmanager
async def _endpoint() -> AsyncIterator[str]:
    """An app-proxy's place, where every call is answered: what a service answers is not the API's own."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _one(operation: Any, mode: GenerationMode, headers: dict[str, str]) -> None:
    count = itertools.count()

    @settings(
        max_examples=examples(EXAMPLES),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        if "follow" in (case.query or {}):
            case.query["follow"] = "false"  # it would not end
        if case.operation.path == "/v1/events" and isinstance(case.query, dict):
            case.query["follow"] = "false"
        for name, value in (case.headers or {}).items():
            case.headers[name] = value[:MAX_FIELD]
        for name in ("project", "folder", "service", "user"):
            if name in (case.path_parameters or {}) and next(count) % 2:
                case.path_parameters[name] = name  # one that exists
        case.call_and_validate(headers=headers, checks=CHECKS, timeout=60)

    run()
