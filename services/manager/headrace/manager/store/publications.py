"""Queries: publications (generation and digest per subject), and the queue of changed tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.publications import Content, Publication

SQL = Queries.beside(__file__)
MAX_PROBLEM = 1000


async def changes(con: Connection, kind: str, most: int) -> list[str]:
    """Dequeue up to `most` changed keys, possibly with duplicates; '' stands for all of the kind."""
    return [row["key"] for row in await con.fetch(SQL.changes, kind, most)]


async def fold_changes(con: Connection, kind: str) -> None:
    """Deduplicate queued changes, so that they do not pile up while nothing can be published."""
    await con.execute(SQL.fold, kind)


async def lock(con: Connection, subjects: Sequence[str]) -> dict[str, Publication]:
    """Lock the subjects until the transaction ends; return the last publication of each."""
    await con.execute(SQL.ensure, subjects)
    rows = await con.fetch(SQL.lock, subjects)
    return {row["subject"]: Publication(row["generation"], bytes(row["digest"]), row["problem"]) for row in rows}


async def advance(con: Connection, new: Mapping[str, tuple[int, Content]]) -> None:
    """Store the new generations with digest and size."""
    if new:
        generations = [generation for generation, _ in new.values()]
        contents = [content for _, content in new.values()]
        digests, sizes = [content.digest for content in contents], [content.bytes for content in contents]
        await con.execute(SQL.advance, list(new), generations, digests, sizes)


async def set_problems(con: Connection, problems: Mapping[str, str | None]) -> None:
    """Store why these tables cannot be built, in at most MAX_PROBLEM characters; None: they can."""
    if problems:
        await con.execute(SQL.set_problems, list(problems), list(problems.values()))


async def drop_unused(con: Connection, subjects: Sequence[str]) -> None:
    """Delete the rows that `lock` inserted for subjects without a publication."""
    if subjects:
        await con.execute(SQL.drop_unused, subjects)


async def digests(con: Connection, subjects: Sequence[str]) -> dict[str, bytes]:
    """Return the digest of each subject that was ever published."""
    return {row["subject"]: bytes(row["digest"]) for row in await con.fetch(SQL.digests, subjects)}


async def known(con: Connection, prefix: str, kept: timedelta) -> tuple[dict[str, int], list[str]]:
    """Return the generation of each subject with this prefix, and which of them can be deleted.

    Those publish a service's removal for longer than `kept`, or belong to a deleted machine.
    """
    rows = await con.fetch(SQL.known, prefix, kept)
    return {row["subject"]: row["generation"] for row in rows}, [row["subject"] for row in rows if row["over"]]


async def forget(con: Connection, over: Mapping[str, int]) -> None:
    """Delete these subjects' rows, if they still have this generation."""
    await con.execute(SQL.forget, list(over), list(over.values()))


async def revive(con: Connection, prefix: str, held: Mapping[str, int], most: int) -> list[str]:
    """Return the subjects of up to `most` of these services whose removal must be published again.

    Those are services that a reader or the stream has in the generation given, while their removal was deleted or
    nothing is known of them.
    """
    if not held:
        return []
    rows = await con.fetch(SQL.revive, prefix, list(held), list(held.values()), most)
    return [row["subject"] for row in rows]
