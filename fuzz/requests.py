"""Fuzzer of the request parser: `python -m fuzz.requests [corpus folder] [libFuzzer options]`."""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["headrace.appproxy.dataplane.http1"]):
    from fuzz.laws import requests_hold


def main() -> None:
    """Run until an input violates a property (it is written to a crash- file), or the options end it."""
    atheris.Setup(sys.argv, requests_hold)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
