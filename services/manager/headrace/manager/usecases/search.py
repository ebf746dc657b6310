"""Use case of the search over everything that a caller may see."""

from __future__ import annotations

from typing import Final, get_args

from headrace.common.contracts.http.search import SearchResults
from headrace.common.contracts.vocabulary import FoundKind
from headrace.common.db.pool import Pool
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.found import Found
from headrace.manager.store import search
from headrace.manager.views.search import search_hit

_KINDS: Final[tuple[FoundKind, ...]] = get_args(FoundKind)


class Search:
    """Use case that finds things by a text in their names and descriptions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def find(self, actor: Actor, text: str, *, kind: FoundKind | None, limit: int) -> SearchResults:
        """Return at most `limit` things of each kind that the caller sees and that have the text in them."""
        items, more = list[Found](), list[FoundKind]()
        async with self._pool.acquire() as con:
            for one in _KINDS if kind is None else (kind,):
                found = await search.find(con, actor, one, text, limit=limit + 1)
                items += found[:limit]
                if len(found) > limit:
                    more.append(one)
        return SearchResults(items=tuple(search_hit(one) for one in items), more=tuple(more))
