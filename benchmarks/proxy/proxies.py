"""Measured proxies, each a real process in front of the same two replicas."""

from __future__ import annotations

import base64
import resource
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import jwt

from benchmarks.proxy import callers, calls, ours
from benchmarks.proxy.machine import HERE, WORK, MissingError, from_wheel, program
from benchmarks.proxy.processes import Running, free_port, start, status_line, wait_until_it_answers
from benchmarks.proxy.results import DIRECT, OURS


@dataclass(frozen=True, slots=True)
class Proxy:
    """Running proxy at `port`; without a process, the first backend itself."""

    name: str
    port: int
    folder: Path
    running: Running | None = None
    prefix: str = ""
    tokens: Sequence[str] = field(default=(), repr=False)
    forwards_gets: bool = True
    """Whether a GET of the models reaches a replica; SGLang's router answers it by itself."""

    def calls(self, events: int = 0) -> Path:
        """Return the file of requests for it: plain ones, or requests for a stream of `events`."""
        made = (calls.call(n, prefix=self.prefix, tokens=self.tokens, events=events) for n in range(calls.HOW_MANY))
        return calls.write_calls(self.folder / f"calls-{events}", made)

    def real_calls(self) -> Path:
        """Return the file of realistic requests, no two with the same head."""
        made = (callers.request(n, prefix=self.prefix, tokens=self.tokens) for n in range(callers.HOW_MANY))
        return calls.write_calls(self.folder / "calls-real", made)

    def callers_calls(self) -> Path:
        """Return the file of requests with equal heads per caller; a caller's requests are calls.CALLERS apart."""
        return calls.write_calls(self.folder / "calls-callers", self._alike(1))

    def one_callers_calls(self) -> Path:
        """Return the file of the first caller's requests among those."""
        return calls.write_calls(self.folder / "calls-one-caller", self._alike(calls.CALLERS))

    def _alike(self, step: int) -> Iterator[bytes]:
        for n in range(0, calls.HOW_MANY, step):
            yield calls.call(n, prefix=self.prefix, tokens=self.tokens, own_head=False)

    def bodiless_calls(self) -> Path:
        """Return the file of requests without a body."""
        made = (calls.bodiless(n, prefix=self.prefix, tokens=self.tokens) for n in range(calls.HOW_MANY))
        return calls.write_calls(self.folder / "calls-bodiless", made)


Starter = Callable[[Sequence[int], Sequence[int]], Proxy]
"""(backend ports, cores) → a proxy whose process was started. Raises MissingError."""


def direct(backends: Sequence[int], _: Sequence[int]) -> Proxy:
    """Return the backend itself, without a proxy."""
    return Proxy(DIRECT, backends[0], WORK / DIRECT)


def nginx(backends: Sequence[int], on: Sequence[int]) -> Proxy:
    """Start nginx, with keep-alive connections to the replicas."""
    where = _prepare("nginx", "nginx.conf", backends)
    command: list[str | Path] = [
        program("nginx"),
        "-p",
        where.folder,
        "-c",
        where.config,
        "-e",
        where.folder / "error.log",
    ]
    return where.started(command, on)


def haproxy(backends: Sequence[int], on: Sequence[int]) -> Proxy:
    """Start HAProxy."""
    where = _prepare("haproxy", "haproxy.cfg", backends)
    return where.started([program("haproxy"), "-f", where.config], on)


def haproxy_jwt(backends: Sequence[int], on: Sequence[int]) -> Proxy:
    """Start HAProxy with HS256 tokens, a map and a stick table."""
    secret, subject = secrets.token_hex(32), str(uuid4())
    where = _prepare("haproxy-jwt", "haproxy-jwt.cfg", backends, SECRET=secret)
    (where.folder / "services.map").write_text(f"{subject} chat\n")
    return where.started([program("haproxy"), "-f", where.config], on, tokens=_hs256(secret, subject))


def envoy(backends: Sequence[int], on: Sequence[int]) -> Proxy:
    """Start Envoy with one worker thread."""
    where = _prepare("envoy", "envoy.yaml", backends, FILTERS="")
    return where.started(_envoy(where.config), on)


def envoy_jwt(backends: Sequence[int], on: Sequence[int]) -> Proxy:
    """Start Envoy with HS256 tokens and RBAC by subject. (The cheapest signature for Envoy: an EdDSA token costs it more.)"""
    secret, subject = secrets.token_bytes(32), str(uuid4())
    key = base64.urlsafe_b64encode(secret).decode().rstrip("=")
    filters = (HERE / "peers" / "envoy-jwt.yaml").read_text().rstrip("\n")
    filters = filters.replace("@SECRET_BASE64URL@", key).replace("@SUBJECT@", subject)
    where = _prepare("envoy-jwt", "envoy.yaml", backends, FILTERS=filters)
    return where.started(_envoy(where.config), on, tokens=_hs256(secret, subject))


def vllm_router(backends: Sequence[int], on: Sequence[int]) -> Proxy:
    """Start the vLLM project's router, round robin, without tokens."""
    return _router("vllm-router", [from_wheel("vllm-router")], backends, on)


def sglang_router(backends: Sequence[int], on: Sequence[int]) -> Proxy:
    """Start the SGLang project's router, round robin, without tokens."""
    # Its own bound of requests at the same time would answer 429 under 500 streams.
    own = [from_wheel("sglang-router"), "launch", "--max-concurrent-requests", "100000"]
    return _router("sglang-router", own, backends, on)


def headrace(backends: Sequence[int], on: Sequence[int], *, workers: int = 1) -> Proxy:
    """Start the app-proxy with all features on."""
    return headrace_build(OURS if workers == 1 else f"{OURS}-{workers}", None, backends, on, workers=workers)


def headrace_build(
    folder_name: str, build: Path | None, backends: Sequence[int], on: Sequence[int], *, workers: int = 1
) -> Proxy:
    """Start the app-proxy of a compiled `build`; None is this checkout's."""
    folder, port = WORK / folder_name, free_port()
    environment, tokens = ours.prepare(
        folder, port=port, backends=backends, callers=callers.TOKENS, workers=workers, build=build
    )
    running = start(OURS, ours.COMMAND, on=on, folder=folder, environment=environment)
    return _checked(Proxy(OURS, port, folder, running, prefix=ours.PREFIX, tokens=tokens))


ALL: dict[str, Starter] = {
    DIRECT: direct,
    "nginx": nginx,
    "haproxy": haproxy,
    "haproxy-jwt": haproxy_jwt,
    "envoy": envoy,
    "envoy-jwt": envoy_jwt,
    "vllm-router": vllm_router,
    "sglang-router": sglang_router,
    OURS: headrace,
}


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    port: int
    folder: Path
    config: Path

    def started(self, command: Sequence[str | Path], on: Sequence[int], tokens: Sequence[str] = ()) -> Proxy:
        running = start(self.name, command, on=on, folder=self.folder)
        return _checked(Proxy(self.name, self.port, self.folder, running, tokens=tokens))


def _prepare(name: str, template: str, backends: Sequence[int], **more: str) -> _Place:
    """Write peers/<template> with its @WORDS@ substituted."""
    folder, port = WORK / name, free_port()
    folder.mkdir(parents=True, exist_ok=True)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    words = {"PORT": port, "FOLDER": folder, "FILES": files, "BACKEND_1": backends[0], "BACKEND_2": backends[1]}
    text = (HERE / "peers" / template).read_text()
    for word, value in (more | words).items():
        text = text.replace(f"@{word}@", str(value))
    config = folder / template
    config.write_text(text)
    return _Place(name, port, folder, config)


def _envoy(config: Path) -> list[str | Path]:
    return [
        from_wheel("envoy"),
        "-c",
        config,
        "--concurrency",
        "1",
        "--use-dynamic-base-id",
        "--log-level",
        "error",
    ]


def _router(name: str, command: Sequence[str], backends: Sequence[int], on: Sequence[int]) -> Proxy:
    port, folder = free_port(), WORK / name
    options = [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--prometheus-port",
        str(free_port()),
        "--log-level",
        "error",
        "--policy",
        "round_robin",
        "--worker-urls",
        *(f"http://127.0.0.1:{backend}" for backend in backends),
    ]
    running = start(name, [*command, *options], on=on, folder=folder)
    return _checked(Proxy(name, port, folder, running, forwards_gets=name != "sglang-router"))


def _hs256(secret: str | bytes, subject: str) -> list[str]:
    now = int(time.time())
    claims = {"iss": "headrace", "sub": subject, "iat": now, "exp": now + 86_400}
    return [
        jwt.encode(claims | {"jti": str(uuid4())}, secret, algorithm="HS256", headers={"kid": "k1"})
        for _ in range(callers.TOKENS)
    ]


def _checked(proxy: Proxy) -> Proxy:
    """Wait until the proxy serves; one with tokens must also refuse a call without.

    Raises MissingError, with the process stopped.
    """
    assert proxy.running is not None
    try:
        wait_until_it_answers(proxy.running, proxy.port, calls.call(0, prefix=proxy.prefix, tokens=proxy.tokens))
        if proxy.tokens:
            _refuses_strangers(proxy)
    except MissingError:
        proxy.running.stop()
        raise
    return proxy


def _refuses_strangers(proxy: Proxy) -> None:
    answer = status_line(proxy.port, calls.call(0, prefix=proxy.prefix, tokens=()))
    if " 401" not in answer:
        raise MissingError(f"a call without a token was answered {answer}")
