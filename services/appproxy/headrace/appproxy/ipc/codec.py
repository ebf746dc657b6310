"""JSON codec of the messages on a channel: one union of dataclasses, discriminated by `kind`, with every field checked
on decoding.

Both ends are of one installation, so no field is optional for other versions: an unknown field is an error that names
it. pydantic-core parses and checks in one pass, which takes no longer than `json` without checks.
"""

from __future__ import annotations

from typing import ClassVar, Final, Generic, NewType, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

EncodedMessage = NewType("EncodedMessage", bytes)
"""Encoded message: encoded once, it may be sent to many workers."""
MAX_DESCRIPTORS: Final = 250
"""File descriptors of one message. SCM_MAX_FD is 253 (Linux, net/scm.h)."""
_MAX_NAMED: Final = 3
"""Fields that an error names; further ones are left out."""
_MAX_CHARACTERS: Final = 60


class ChannelError(Exception):
    """The bytes received over a channel are no valid message; the channel is closed."""


class UnknownMessageError(ChannelError):
    """Message of a kind that this end does not accept."""


class InvalidMessageError(ChannelError):
    """Message that is truncated, has a missing, unknown or mistyped field, or the wrong number of descriptors."""


class ControlMessage:
    """Base of the messages. `descriptors`: how many file descriptors one may carry."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid")
    descriptors: ClassVar[range] = range(1)


M = TypeVar("M", bound=ControlMessage)


class Codec(Generic[M]):
    """Encoder and decoder of the messages of one direction."""

    def __init__(self, union: TypeAdapter[M]) -> None:
        self._union = union

    def encode(self, message: M) -> EncodedMessage:
        """Return the message as JSON."""
        return EncodedMessage(self._union.dump_json(message))

    def decode(self, content: bytes | bytearray, descriptors: int = 0) -> M:
        """Return the message that arrived with so many descriptors.

        Raises UnknownMessageError and InvalidMessageError, whose texts never contain the message's content.
        """
        try:
            message = self._union.validate_json(content)
        except ValidationError as error:
            raise _refusal(error) from None
        if descriptors not in message.descriptors:
            allowed = message.descriptors
            raise InvalidMessageError(
                f"{type(message).__name__} with {descriptors} descriptors; allowed: {allowed.start} to {allowed.stop - 1}"
            )
        return message


def _refusal(error: ValidationError) -> ChannelError:
    found = error.errors(include_input=False, include_url=False, include_context=True)
    context = found[0].get("ctx", {})
    match found[0]["type"]:
        case "union_tag_invalid":
            return UnknownMessageError(
                f"no kind of message: {str(context['tag'])[:_MAX_CHARACTERS]!r}; allowed: {context['expected_tags']}"
            )
        case "union_tag_not_found":
            return UnknownMessageError("a message without its kind")
        case _:
            where = [f"{'.'.join(map(str, one['loc'])) or 'message'}: {one['msg']}" for one in found[:_MAX_NAMED]]
            return InvalidMessageError("; ".join(where))
