"""The shape all bus messages share."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.common.contracts.problems import MalformedMessage


class Part(BaseModel):
    """Base of the parts of messages. Unknown fields are ignored so that versions can be mixed during an upgrade."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Message(Part):
    """Base of bus messages: a whole state or a request, never a delta."""

    subject: ClassVar[str]
    """Subject with `{field}` placeholders. Subjects are only written here; all other code calls the message's
    methods."""

    def address(self) -> str:
        """Return the subject of this message: placeholders are filled from its own fields."""
        return self.subject.format_map(self.__dict__)

    @classmethod
    def subject_for(cls, **places: object) -> str:
        """Return the subject with these values for its placeholders. Raises KeyError if one is missing."""
        return cls.subject.format_map(places)

    @classmethod
    def prefix(cls) -> str:
        """Return the part of the subject before its first placeholder."""
        return cls.subject.partition("{")[0]

    @classmethod
    def wildcard(cls) -> str:
        """Return the subject that matches every message of this class."""
        return ".".join("*" if token.startswith("{") else token for token in cls.subject.split("."))

    def encode(self) -> bytes:
        """Encode as JSON."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decode from JSON. Raises MalformedMessage with the error (never with the content)."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            where = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)[:3]
            )
            raise MalformedMessage(f"{cls.__name__}: {where}") from None


def in_generation(data: bytes, generation: int) -> bytes:
    """Return an encoded table of generation 1 with another generation, without encoding it again.

    The field precedes everything in a table that has fields or text of its own.
    """
    head, tail = data.split(b'"generation":1,', 1)
    return b'%b"generation":%d,%b' % (head, generation, tail)
