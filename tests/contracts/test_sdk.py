"""The SDK against the OpenAPI document: each call is of an operation that exists, and each operation has a call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin
from uuid import UUID

import pytest
from pydantic import BaseModel

from headrace.manager.api.app import ENDPOINTS
from headrace.manager.api.examples import ANSWERS, REQUESTS
from headrace.sdk import Client
from headrace.sdk import client as client_module
from headrace.sdk.archives import DownloadItem, UploadItem
from headrace.sdk.connections import Response
from headrace.sdk.transport import Transport
from tests.support.documented import operation

OTHERWISE: Final[Mapping[str, str]] = {
    "GET /v1/openapi.json": "for generators of clients",
    "OPTIONS /v1/folders/{folder}/uploads": "for generic clients of tus",
    "HEAD /v1/folders/{folder}/uploads/{upload}": "within folders.upload, to continue one (tests/unit/sdk/test_transfers.py)",
    "PATCH /v1/folders/{folder}/uploads/{upload}": "within folders.upload",
    "HEAD /v1/folders/{folder}/files/{path}": "for browsers: folders.files has the size",
    "POST /v1/services/{service}/call/{path}": "for the console: programs call the endpoint, with a token",
    "GET /v1/usage.csv": "for spreadsheets: the SDK has the rows",
    "GET /v1/folders/{folder}/archive": "for tar: the SDK names the files that it wants",
    "POST /v1/join": "of a machine, which has no SDK (headrace.common.joining)",
    "POST /v1/join/renew": "of a machine",
    "GET /v1/join/join.sh": "of a machine",
    "GET /v1/join/docker.sh": "of a machine",
    "GET /v1/join/ca.crt": "of a machine",
    "GET /v1/join/wheels/": "of a machine, for its installer",
    "GET /v1/join/wheels/{wheel}": "of a machine, for its installer",
}
"""Operations without a call of their own, and why."""
_ID: Final = UUID("0199a3b2-7c1e-7f40-8a55-3d1c0f6e2b91")


class _AskedError(Exception):
    """Raised in place of an answer."""


class _Recorder(Transport):
    """Transport that sends nothing, and tells what would be sent first."""

    asked: tuple[str, str] = ("", "")

    def send(self, method: str, path: str, **_: Any) -> Response:
        self.asked = (method, path)
        raise _AskedError

    def stream(self, path: str, **_: Any) -> Any:
        self.asked = ("GET", path)
        raise _AskedError


def _calls() -> Iterator[tuple[str, Any, str]]:
    """Yield each public call of the client: its name, the group and the method."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(client_module, "Transport", _Recorder)
        client = Client("http://127.0.0.1:9", "key")
    for noun in ["", *sorted(name for name in dir(Client) if not name.startswith("_"))]:
        group = getattr(client, noun) if noun else client
        if noun and (callable(group) or isinstance(group, str)):
            continue
        for name, call in inspect.getmembers(type(group), inspect.isfunction):
            if not name.startswith("_") and name not in {"another", "close"}:
                yield f"{noun}.{name}".lstrip("."), getattr(group, name), call.__module__


def _recorder_of(call: Any) -> _Recorder:
    return call.__self__._transport  # type: ignore[no-any-return]


CALLS: Final = {name: call for name, call, _ in _calls()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a").write_text("x")
    return tmp_path / "there"


def test_every_call_is_of_an_operation_and_every_operation_has_one(folder: Path) -> None:
    asked = {name: _asked(call, folder) for name, call in CALLS.items()}
    unknown = {name: found for name, found in asked.items() if operation(*found) is None}
    assert unknown == {}
    there = {_name(operation(*found)) for found in asked.values()}
    missing = {_name(endpoint) for endpoint in ENDPOINTS} - there
    assert missing == set(OTHERWISE)


def _name(endpoint: Any) -> str:
    return f"{endpoint.method} {endpoint.shown_path}"


def _asked(call: Callable[..., Any], folder: Path) -> tuple[str, str]:
    """Return method and path of the first request of a call."""
    given, named = [], {}
    parameters = inspect.signature(call).parameters
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            value = _value(_kind(call, parameter), folder)
            if parameter.kind is parameter.KEYWORD_ONLY:
                named[name] = value
            else:
                given.append(value)
    if call.__name__ == "update_key":
        given.append(_value(_kind(call, parameters["body"]), folder))  # one of two that may be left out
    with pytest.raises(_AskedError):
        _begin(lambda: call(*given, **named))
    return _recorder_of(call).asked


def _begin(call: Callable[[], Any]) -> None:
    """Make the call, up to its first request."""
    found = call()
    if hasattr(found, "__enter__"):
        found.__enter__()
    next(iter(found))


def _kind(call: Any, parameter: inspect.Parameter) -> Any:
    """Return the type of a parameter; other annotations of the call may name what is imported for the type checker only."""
    return eval(parameter.annotation, call.__func__.__globals__)


def _value(kind: Any, folder: Path) -> Any:
    """Return a value that a parameter takes."""
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if get_origin(kind) is Iterable:
        return [_value(get_args(kind)[0], folder)]
    kinds = [kind, get_origin(kind), *get_args(kind)]
    for one in kinds:
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one.model_validate(dict({**REQUESTS, **ANSWERS}[one]))
    made: dict[Any, Any] = {
        bytes: b"x",  # rather than a file
        Path: folder,
        Mapping: {"a": "b"},
        UploadItem: UploadItem(b"x", "a", 1),
        DownloadItem: DownloadItem("a", folder / "b", 1),
        datetime: datetime(2030, 1, 1, tzinfo=UTC),
        UUID: _ID,
        int: 1,
    }
    return next((value for one, value in made.items() if one in kinds), "a-text-of-words")
