"""The shape all bus messages share."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from headrace.common.contracts.problems import MalformedMessage


class Part(BaseModel):
    """What messages are made of. Unknown fields are ignored so that versions can be mixed during an upgrade."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Message(Part):
    """A whole state or a question, never a delta."""

    subject: ClassVar[str]
    """Subject with `{field}` places. Subjects are written here alone; everybody else asks the message for its own."""

    def address(self) -> str:
        """Return the subject that this message is published on: the places are filled from its own fields."""
        return self.subject.format_map(self.__dict__)

    @classmethod
    def subject_for(cls, **places: object) -> str:
        """Return the subject of the messages with these values in its places; raises KeyError where one is not given."""
        return cls.subject.format_map(places)

    @classmethod
    def prefix(cls) -> str:
        """Return what stands before the first place of the subject."""
        return cls.subject.partition("{")[0]

    @classmethod
    def wildcard(cls) -> str:
        """Return the subject that matches every message of this class."""
        return ".".join("*" if token.startswith("{") else token for token in cls.subject.split("."))

    def encode(self) -> bytes:
        """Return the JSON bytes."""
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message. Raises MalformedMessage with what is wrong (never with the content)."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            where = "; ".join(
                f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)[:3]
            )
            raise MalformedMessage(f"{cls.__name__}: {where}") from None


def in_generation(data: bytes, generation: int) -> bytes:
    """Return the bytes of a table that was encoded in generation 1 as they are in another one, without encoding it again.

    The field stands at the front of all tables, before anything that has fields or text of its own.
    """
    head, tail = data.split(b'"generation":1,', 1)
    return b'%b"generation":%d,%b' % (head, generation, tail)
