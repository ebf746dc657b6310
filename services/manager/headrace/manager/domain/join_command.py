"""The line that an operator runs on a machine to join it. Pure."""

from __future__ import annotations

from typing import Final

from headrace.common.contracts.vocabulary import JoinForm, JoinKind

_SCRIPTS: Final = {"wheels": "join.sh", "docker": "docker.sh"}


def join_command(kind: JoinKind, form: JoinForm, *, url: str, token: str, ca_sha256: str | None) -> str:
    """Return the line; options of the join may follow it. It holds the token, which on that machine no other program's arguments do.

    `ca_sha256`: of the authority's certificates. The machine does not know the authority yet: it fetches the certificates without
    verifying, compares them with this, and fetches all the rest verified by them.
    """
    script_url = f"{url}/v1/join/{_SCRIPTS[form]}"
    known = f'echo "export HEADRACE_JOIN_KIND={kind} HEADRACE_JOIN_TOKEN={token}"'
    if ca_sha256 is None:
        return f'({known}; curl -fsS {script_url} || echo "exit 1") | sudo sh -s --'
    fetched = f'ca=$(mktemp); curl -fsSk {url}/v1/join/ca.crt -o "$ca"'
    script = f'curl -fsS --cacert "$ca" {script_url} || echo "exit 1"'
    other = (
        f'echo "{url} has another certificate authority than this line was made for, or cannot be reached; nothing was done" >&2; '
        'echo "exit 1"'
    )
    return f'({fetched}; if [ "$(sha256sum <"$ca")" = "{ca_sha256}  -" ]; then {known}; {script}; else {other}; fi) | sudo sh -s --'
