"""Headrace's Python client: synchronous, typed with the contract models. Start at `Client`."""

from headrace.sdk.client import Client
from headrace.sdk.errors import (
    AnswerLostError,
    ApiError,
    HeadraceError,
    TransferError,
    UnexpectedAnswerError,
    UnreachableError,
    WaitFailedError,
    WaitTimeoutError,
)
from headrace.sdk.logs import LogStream
from headrace.sdk.waiting import Until

__all__ = [
    "AnswerLostError",
    "ApiError",
    "Client",
    "HeadraceError",
    "LogStream",
    "TransferError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "Until",
    "WaitFailedError",
    "WaitTimeoutError",
]
