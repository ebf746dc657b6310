"""Reasons: why something is as it is, with a stable code for machines and words for people.

What the codes are is catalogued in the modules beside this one, one closed enum for each thing that reasons are given of; the page
docs/reasons.md and the OpenAPI document are made from them.

Who gives a reason takes a member (`Reason.of`), so that the type checker knows every code that is written. Who reads one takes any
text: versions mix during an upgrade, and rows outlive the release that wrote them. A code on the bus, in a row or in an answer is
therefore open, as enums are in Protobuf: one that is not known is kept and passed on as it came, and never breaks a pass.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_TEXT = 4000
"""Characters of a reason's text; reasons of services and rules quote those of others."""
MAX_TEXT_OF_ONE = 1000
"""Characters of a text about one session or kernel: it is stored with each, and is in every report of its machine."""

MAX_QUOTED = 500
"""Characters of another program's text (an engine's, a server's) inside such a text."""


class ReasonCode(StrEnum):
    """Catalogue of reason codes; every member has a meaning in one line."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Self:
        """Make a member: its code (kebab-case, stable), and what it means in a line."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    @property
    def max_text(self) -> int:
        """Longest text with this code, in characters."""
        return MAX_TEXT

    def bounded(self, text: str) -> str:
        """Return `text`, cut to the longest one for this code."""
        return text[: self.max_text]


class CodeOfOne(ReasonCode):
    """Catalogue of codes about one session or kernel, with shorter texts."""

    @property
    def max_text(self) -> int:
        """Longest text with this code, in characters."""
        return MAX_TEXT_OF_ONE


class Reason(BaseModel):
    """Stable `code` (kebab-case) and `text` that names the numbers. docs/reasons.md lists the codes; there may be new ones."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)
    code: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
    text: Annotated[str, StringConstraints(max_length=MAX_TEXT)]

    @classmethod
    def of(cls, code: ReasonCode, text: str) -> Self:
        """Make a reason. A text that is too long is cut."""
        return cls(code=code, text=code.bounded(text))

    @classmethod
    def read(cls, code: str, text: str) -> Reason:
        """Return a reason that came from another service or version, unchanged, even if its code is not known here."""
        return cls.model_construct(code=code, text=text[:MAX_TEXT])


def said_of(*catalogues: str) -> Any:
    """Annotate a field of type Reason with the catalogues (`catalogue.CATALOGUES`) that its codes come from."""
    return Field(json_schema_extra={"x-reasons": list(catalogues)})
