"""Rows of found and allowed: each says what is so."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel, Field, ValidationError

from headrace.common.contracts.wording import rows


class Lists(BaseModel):
    few: Annotated[tuple[int, ...], Field(min_length=2)] = (1, 2)


def refused(*few: object) -> list[tuple[str, object, str]]:
    with pytest.raises(ValidationError) as error:
        Lists.model_validate({"few": few})
    return [(row["field"], row["found"], row["allowed"]) for row in rows(error.value)]


def test_a_list_with_wrong_items_is_not_said_to_be_too_short_as_well() -> None:
    number = "a whole number"
    assert refused("a", "b") == [("few[0]", "a", number), ("few[1]", "b", number)]
    assert refused("a", 1, 2) == [("few[0]", "a", number)]


def test_a_list_that_is_too_short_is_said_to_be() -> None:
    assert refused(1) == [("few", "1 item", "at least 2 items")]
    assert refused() == [("few", "an empty list", "at least 2 items")]
