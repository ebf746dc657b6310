"""Errors in OpenAI's shape: `{"error": {message, type, param, code}}`."""

from aiohttp import web


class Refusal(Exception):  # noqa: N818  # its subclasses name the error
    """Base of errors that are sent as a response. The text is for the caller."""

    status = 500
    kind = "server_error"
    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.status = self.status if status is None else status


class BadRequest(Refusal):
    """Invalid request; repeating it cannot help."""

    status, kind = 400, "invalid_request_error"


class ContextTooLong(BadRequest):
    """Prompt and completion together exceed the model's limit."""

    code = "context_length_exceeded"


class UnknownModel(Refusal):
    """The engine serves no model of that name."""

    status, kind, code = 404, "invalid_request_error", "model_not_found"


class QueueFull(Refusal):
    """The queue is full; a later request can succeed."""

    status, kind, code = 429, "rate_limit_error", "queue_full"


class StillLoading(Refusal):
    """The model is not loaded yet."""

    status, kind, code = 503, "server_error", "model_loading"


class SimulatedFailure(Refusal):
    """Failure configured by the settings."""

    code = "simulated_failure"


def error_response(
    status: int, message: str, kind: str, *, param: str | None = None, code: str | None = None
) -> web.Response:
    """Return an error in OpenAI's shape; 429 and 503 say when to come back."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    headers = {"Retry-After": "1"} if status in {429, 503} else None
    return web.json_response(body, status=status, headers=headers)
