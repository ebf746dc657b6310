"""Calls of the demo's service, with the real `openai` client, and with curl."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

from headrace.cli.errors import CliError

MODEL: Final = "all-MiniLM-L6-v2"
SENTENCE: Final = "A cat is sleeping on the sofa."
RELATED: Final = "A kitten naps on the couch."
UNRELATED: Final = "The central bank raised interest rates."
_TIMEOUT_S: Final = 30.0


def vectors(endpoint: str, token: str, texts: Sequence[str]) -> list[list[float]]:
    """Return one vector for each text, through the openai client. Raises CliError."""
    try:
        import openai  # noqa: PLC0415 - needed by the demo only
    except ImportError:
        raise CliError("the openai client is not installed", hint="install headrace with its 'example' extra") from None

    # A client without the environment's proxy settings: both programs are on this machine.
    http = openai.DefaultHttpxClient(trust_env=False)
    try:
        with openai.OpenAI(
            base_url=f"{endpoint.rstrip('/')}/v1", api_key=token, timeout=_TIMEOUT_S, max_retries=0, http_client=http
        ) as client:
            answer = client.embeddings.create(model=MODEL, input=list(texts))
    except openai.OpenAIError as error:
        raise CliError(f"the openai client got: {error}") from None
    return [item.embedding for item in answer.data]


def curl_line(endpoint: str, token: str) -> str:
    """Return the command line that calls the service."""
    return shlex.join(_curl(endpoint, token)[:1]) + " " + _wrapped(_curl(endpoint, token)[1:])


def call_with_curl(endpoint: str, token: str) -> int | None:
    """Run that command line and return the number of vector elements; None if curl is not installed. Raises CliError."""
    if shutil.which("curl") is None:
        return None
    words = [*_curl(endpoint, token), "--fail-with-body", "--noproxy", "*", "--max-time", str(int(_TIMEOUT_S))]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S + 10)
    if done.returncode != 0:
        raise CliError(f"curl ended with {done.returncode}: {(done.stdout or done.stderr).strip()[-500:]}")
    try:
        return len(json.loads(done.stdout)["data"][0]["embedding"])
    except (ValueError, KeyError, IndexError, TypeError):
        raise CliError(f"curl got no embedding but {done.stdout[:200]!r}") from None


def similarity(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine similarity of two vectors: 1 the same direction, 0 nothing in common."""
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths


def _curl(endpoint: str, token: str) -> list[str]:
    body = json.dumps({"model": MODEL, "input": SENTENCE})
    return [
        "curl",
        "-sS",
        f"{endpoint.rstrip('/')}/v1/embeddings",
        "-H",
        f"Authorization: Bearer {token}",
        "-H",
        "Content-Type: application/json",
        "-d",
        body,
    ]


def _wrapped(words: Sequence[str]) -> str:
    """Format the command line for a shell, each option on a line of its own."""
    return " ".join(f"\\\n    {shlex.quote(w)}" if w in {"-H", "-d"} else shlex.quote(w) for w in words)
