"""Health check of a service in a container: `python -m headrace.common.web.probe URL [CA-FILE]`, where there is no curl."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

from headrace.common.runtime.tls import TlsFileError, client_context

TIMEOUT_S: Final = 4.0
"""Below the health check's own, so that its output says what was waited for."""
MAX_ANSWER_BYTES: Final = 64 * 1024


def probe(url: str, ca_file: Path | None = None) -> str | None:
    """GET a `/readyz` or `/livez` and return None if it answers 2xx, else why not, in one line."""
    try:
        handlers = [HTTPSHandler(context=client_context(ca_file))] if url.startswith("https:") else []
        with build_opener(ProxyHandler({}), *handlers).open(url, timeout=TIMEOUT_S):
            return None
    except TlsFileError as error:
        return str(error)
    except HTTPError as error:
        return f"{url} answered {error.code}: {_failing(error)}"
    except (OSError, HTTPException, ValueError) as error:
        return f"{url} does not answer: {error}"


def main(words: Sequence[str]) -> int:
    """Return the exit status: 0 ready, 1 not, 2 wrong usage."""
    if len(words) not in {1, 2} or not words[0].startswith(("http://", "https://")):
        sys.stderr.write("usage: python -m headrace.common.web.probe URL [CA-FILE]\n")
        return 2
    why = probe(words[0], Path(words[1]) if words[1:] else None)
    if why is not None:
        sys.stderr.write(f"{why}\n")
    return 0 if why is None else 1


def _failing(error: HTTPError) -> str:
    try:
        failing = json.loads(error.read(MAX_ANSWER_BYTES))["failing"]
        return "; ".join(f"{name}: {why}" for name, why in failing.items())
    except (OSError, HTTPException, ValueError, TypeError, KeyError, AttributeError):
        return error.reason


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
