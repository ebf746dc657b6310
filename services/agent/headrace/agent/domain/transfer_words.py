"""Progress of a folder in words, as the reason of the replica that waits for it."""

from __future__ import annotations

from headrace.common.contracts.messages.reports import Transfer
from headrace.common.contracts.reasons import MAX_QUOTED
from headrace.common.runtime.disk import in_words


def transfer_words(transfer: Transfer) -> str:
    """Return what is done for its folder, on one line."""
    done, total = in_words(transfer.bytes_done), in_words(transfer.bytes_total)
    match transfer.phase:
        case "manifest":
            text = "asks a manager what its folder has"
        case "waiting":
            text = "another replica on the machine fetches the rest of its folder"
        case "linking":
            text = f"its folder of {total} is here, and is put together"
        case _:
            text = f"fetches its folder: {done} of {total}"
            if transfer.bytes_per_s:
                text += f", {in_words(transfer.bytes_per_s)}/s"
            if transfer.eta_s is not None:
                text += f", {transfer.eta_s:.0f} s left"
    if transfer.problem is not None:
        text += f"; tries again: {transfer.problem[:MAX_QUOTED]}"
    return text
