"""Generator of docs/reasons.md, from the catalogues of codes (headrace.common.contracts.reasons)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from headrace.appproxy.dataplane.request.local_replies import interruption_problem
from headrace.common.contracts.reasons import MAX_TEXT, MAX_TEXT_OF_ONE, ReasonCode
from headrace.common.contracts.reasons.catalogue import CATALOGUES
from headrace.common.contracts.reasons.proxy import ModelReason, ProxyReason, Retry
from headrace.common.contracts.vocabulary import SERVICE_PHASES, SERVICE_STATUSES

_RETRY: Final[Mapping[Retry, str]] = {
    Retry.NO: "the same request is refused again",
    Retry.LATER: "nothing of it ran, and time can cure it; Retry-After says when to come back where it is known",
    Retry.PERHAPS: "it may have run, whole or in part",
}
_INTRODUCTION = f"""\
# Reasons

Generated from the code (`headrace.common.contracts.reasons`) by `make contracts`; a test fails when it is not current.

Whatever waits, fails, is refused or was changed says why: a stable `code` for programs, and a `text` for people that names the
numbers. A text has at most {MAX_TEXT_OF_ONE:,} characters where it is said of one replica, and {MAX_TEXT:,} elsewhere; programs do
not read it.

Switch on codes as the SDK exports them:

```python
from headrace.sdk import Client, ServiceReason

match Client(url, key).services.get("chat").reason.code:
    case ServiceReason.SCALED_TO_ZERO:
        ...
    case other:  # a code of a newer version, or of a replica: `status` and `phase` say enough
        ...
```

A refusal of the management API has one where its type alone does not tell what to do:

```python
from headrace.sdk import ApiError, ApiReason

try:
    client.services.stop("chat")
except ApiError as error:
    if error.reason == ApiReason.DATABASE_BUSY:  # nothing has changed: try again
        ...
```

Codes do not change their meaning. A new version may bring new ones, also where an older one reads them: one that is not known is
passed on as it came. The OpenAPI document lists the codes that are known (`x-known-values` of `Reason`, and `x-reasons` of each
field that has one), and leaves the type open.
"""


def page() -> str:
    """Return the page."""
    lines = [_INTRODUCTION, *_states()]
    for catalogue in CATALOGUES.values():
        lines += _section(catalogue)
    return "\n".join(lines).rstrip("\n") + "\n"


def _states() -> list[str]:
    lines = ["## Status and phase of a service", ""]
    lines += ["`status` says whether it can serve, `phase` whether it has reached its desired state: a service in the "]
    lines[-1] += "middle of an update is `healthy` and `deploying`. `reason` says why both are so."
    for field, meanings in (("status", SERVICE_STATUSES), ("phase", SERVICE_PHASES)):
        rows = ((f"`{value}`", meaning) for value, meaning in meanings.items())
        lines += ["", *_table((f"`{field}`", "meaning"), rows)]
    return [*lines, ""]


def _section(catalogue: type[ReasonCode]) -> list[str]:
    title, text = _said(catalogue)
    if catalogue is ProxyReason:
        return [f"## {title}", "", text, "", *_of_the_app_proxy()]
    if catalogue is ModelReason:
        head: Sequence[str] = ("`code`", "in logs and metrics", "status", "meaning")
        rows = ((f"`{code.shown}`", f"`{code}`", str(code.status), code.meaning) for code in ModelReason)
        return [f"## {title}", "", text, "", *_table(head, rows), ""]
    return [f"## {title}", "", text, "", *_table(("`code`", "meaning"), _rows(catalogue)), ""]


def _rows(catalogue: type[ReasonCode]) -> Iterator[Sequence[str]]:
    return ((f"`{code}`", code.meaning) for code in catalogue)


def _of_the_app_proxy() -> list[str]:
    answers = (
        (f"`{code}`", " or ".join(map(str, _statuses(code))), code.retry.value, code.meaning)
        for code in sorted(ProxyReason, key=_statuses)
        if code.meaning
    )
    broken = ((f"`{code}`", f"`{interruption_problem(code).type}`", code.broken) for code in ProxyReason if code.broken)
    retried = ((f"`{code}`", code.retried) for code in ProxyReason if code.retried)
    return [
        "### Refusals",
        "",
        "Whether a retry helps: " + "; ".join(f"*{retry.value}*: {_RETRY[retry]}" for retry in Retry) + ".",
        "",
        *_table(("`reason`", "status", "retry", "meaning"), answers),
        "",
        "### Interrupted responses",
        "",
        *_table(("`code`", "`type`", "meaning"), broken),
        "",
        "### Retries",
        "",
        *_table(("`reason`", "meaning"), retried),
        "",
    ]


def _statuses(code: ProxyReason) -> list[int]:
    return sorted(status for status in (code.status, code.other_status) if status is not None)


def _said(catalogue: type[ReasonCode]) -> tuple[str, str]:
    """Return heading and first sentence of the section, from the class' docstring."""
    title, _, text = " ".join((catalogue.__doc__ or "").split()).partition(": ")
    return title, text[0].upper() + text[1:]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)).replace(" ", ""), *map(_row, rows)]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
