"""Making an installation: first run, repair, changed options, rotation; each may be interrupted and run again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from headrace.install.errors import InstallError
from headrace.install.files import STATE, STATE_IS, rendered
from headrace.install.folder import Entry, Found, compare, opened, store_state, stored_state, write
from headrace.install.plan import Choices, check_path, planned
from headrace.install.rotation import Rotation, rotated
from headrace.install.state import State, bus_users, completed
from headrace.install.steps import steps_after

WARN_BEFORE: Final = timedelta(days=30)
"""A certificate that ends sooner is pointed out."""
OLD_IDENTITY: Final = timedelta(days=365)
"""An identity on the bus whose key is older is pointed out: it does not end by itself (docs/adr/0029)."""
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Made:
    """Result of a run."""

    folder: Path
    state: State = field(repr=False)
    entries: tuple[Entry, ...]
    steps: tuple[str, ...] = ()
    """What an operator does next, after a rotation or a change of options."""
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> tuple[Entry, ...]:
        """Files that were written or repaired."""
        return tuple(entry for entry in self.entries if entry.found not in {Found.UNCHANGED, Found.EDITED})


def make(folder: Path, choices: Choices, now: datetime) -> Made:
    """Make or mend the installation in `folder`. Raises InstallError, with nothing changed."""
    check_path(folder.absolute(), "DIR")
    if not (folder / STATE).exists():
        planned(choices, None)  # wrong options leave no folder behind
    with opened(folder, create=True) as there:
        stored = stored_state(there)
        if stored is not None:
            _check_clock(stored, now)
        state = completed(planned(choices, stored.plan if stored else None), stored, now)
        made = _apply(there, stored, state, now)
        return replace(made, steps=steps_after(made.folder, made.entries, stored.plan if stored else None, state.plan))


def bring_back(folder: Path, content: str, now: datetime) -> Made:
    """Make the installation whose `installation.json` this is in `folder`, which is new or empty. Raises InstallError.

    A run that was interrupted is mended by another one; a folder of another installation is refused.
    """
    check_path(folder.absolute(), "DIR")
    try:
        state = State.model_validate_json(content)
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_input=False)[0]["loc"])) or "the file"
        raise InstallError(f"the backup's {STATE} cannot be read ({where}); allowed: one of this version") from None
    state = state.model_copy(update={"written": {}})
    with opened(folder, create=True) as there:
        stored = stored_state(there)
        if stored is not None and stored.model_copy(update={"written": {}}) != state:
            raise InstallError(f"{folder} holds another installation; allowed: a new or empty folder")
        _check_clock(state, now)
        return _apply(there, stored, stored or state, now)


def rotate(folder: Path, what: str, now: datetime) -> Made:
    """Replace one secret of the installation in `folder`. Raises InstallError, with nothing changed."""
    with opened(folder, create=False) as there:
        stored = _existing(there)
        _check_clock(stored, now)
        rotation = rotated(stored, what, now)
        _check_untouched(there, stored, rotation, what)
        return _apply(there, stored, rotation.state, now, steps=rotation.steps)


def show(folder: Path, now: datetime) -> Made:
    """Return how the files in `folder` are found, and change nothing. Raises InstallError."""
    there = folder.resolve()
    state = _existing(there)
    entries = compare(there, rendered(state, there), state.written)
    return Made(there, state, (_own(Found.UNCHANGED), *entries), notes=_notes(state, now))


def _apply(there: Path, stored: State | None, state: State, now: datetime, *, steps: tuple[str, ...] = ()) -> Made:
    """Write the state, then the files that follow from it, then what was written: the next run mends what lacks."""
    if state != stored:
        store_state(there, state)
    files = rendered(state, there)
    entries = compare(there, files, state.written)
    written = {**state.written, **write(there, files, entries)}
    if written != state.written:
        state = state.model_copy(update={"written": written})
        store_state(there, state)
    own = Found.MADE if stored is None else Found.UPDATED if state != stored else Found.UNCHANGED
    return Made(there, state, (_own(own), *entries), steps, _notes(state, now))


def _own(found: Found) -> Entry:
    return Entry(STATE, STATE_IS, secret=True, found=found)


def _existing(there: Path) -> State:
    state = stored_state(there)
    if state is None:
        raise InstallError(f"{there} holds no installation; allowed: a folder that `headrace init` has made")
    return state


def _check_untouched(there: Path, stored: State, rotation: Rotation, what: str) -> None:
    """Raise InstallError if somebody changed a file that the rotation must replace: the former secret would remain in it."""
    before, after = rendered(stored, there), rendered(rotation.state, there)
    concerned = {path: file for path, file in after.items() if path not in before or before[path] != file}
    edited = [one.path for one in compare(there, concerned, stored.written) if one.found is Found.EDITED]
    if edited:
        raise InstallError(
            f"--rotate {what}: found {', '.join(edited)} changed by somebody, which it must replace; nothing was changed. "
            "Bring back what `headrace init` wrote, or move it away and run this again: it is made anew"
        )


def _check_clock(state: State, now: datetime) -> None:
    begins = state.authorities[0].begins
    if now < begins:
        raise InstallError(
            f"the clock of this machine says {now:%Y-%m-%d %H:%M} UTC, and the authority in tls/ca.crt is valid from "
            f"{begins:%Y-%m-%d %H:%M} UTC on; set the clock"
        )
    if now >= state.authorities[0].ends:
        raise InstallError(
            f"the clock of this machine says {now:%Y-%m-%d %H:%M} UTC, and the authority in tls/ca.crt ended on "
            f"{state.authorities[0].ends:%Y-%m-%d}; set the clock, or make a new installation"
        )


def _notes(state: State, now: datetime) -> tuple[str, ...]:
    soon = [
        f"tls/{name}.crt {'ended' if pair.ends <= now else 'ends'} on {pair.ends:%Y-%m-%d}: headrace init --rotate certificates"
        for name, pair in state.certificates.items()
        if pair.ends - now < WARN_BEFORE
    ]
    if state.authorities[0].ends - now < WARN_BEFORE:
        soon.append(f"tls/ca.crt ends on {state.authorities[0].ends:%Y-%m-%d}: headrace init --rotate ca")
    return (*soon, *_old_identities(state, now))


def _old_identities(state: State, now: datetime) -> list[str]:
    made = {user.name: state.identities[user.name].issued_at for user in bus_users(state.plan)}
    old = sorted(name for name, at in made.items() if at < (now - OLD_IDENTITY).timestamp())
    if not old:
        return []
    named = ", ".join(f"bus/{name}.creds" for name in old[:_NAMED]) + (
        f" and {len(old) - _NAMED} more" if len(old) > _NAMED else ""
    )
    return [
        f"{named}: keys older than a year, which do not end by themselves: headrace init --rotate bus:NAME, one by one"
    ]
