"""structlog set up once per process: JSON lines, or pretty when a person watches."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

LogFormat = Literal["auto", "json", "pretty"]


def configure_logging(service: str, *, level: str = "info", log_format: LogFormat = "auto") -> None:
    """Configure structlog and the standard library's logging: one format, to stderr.

    Event names are past-tense identifiers; request, service and session ids come from contextvars.
    """
    pretty = log_format == "pretty" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[structlog.types.Processor] = (
        # plain: rich's tracebacks print local variables, and with them passwords and keys
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if pretty
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for noisy in ("aiohttp.access", "nats", "urllib3", "asyncio", "docker"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("asyncio").addFilter(_of_use)
    structlog.contextvars.bind_contextvars(app=service)


def _of_use(record: logging.LogRecord) -> bool:
    """Leave out what asyncio warns of at each end of a TLS connection to NATS: its client makes the stream before TLS, and nothing is wrong."""
    return not str(record.msg).startswith("returning true from eof_received()")
