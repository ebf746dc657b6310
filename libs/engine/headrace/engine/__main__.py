"""Run the simulated engine: `python -m headrace.engine --port 8000 --model-name m`."""

import asyncio
import logging
import signal
import sys
import time

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from headrace.engine import app as application
from headrace.engine.engine import Engine
from headrace.engine.settings import SettingError, Settings, read

log = logging.getLogger("headrace.engine")
_QUIET = ("/health", "/metrics", "/debug/requests")


class _AccessLogger(AbstractAccessLogger):
    """Access log with one line per request; polled paths are left out."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        if request.path not in _QUIET:
            self.logger.info("%s %s %s %.3fs", request.method, request.path, response.status, time)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish open requests within the grace."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        application.build(Engine(settings)),
        handler_cancellation=True,
        shutdown_timeout=settings.shutdown_grace_s,
        access_log_class=_AccessLogger,
        access_log=log,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port, backlog=1024).start()
        log.info("serving %s on port %s", ", ".join(settings.models), runner.addresses[0][1])
        await stop.wait()
        log.info("stopping")
    finally:
        await runner.cleanup()


def main() -> int:
    """Run the engine and return its exit code: 0 after a stop, 1 if the port is in use, 2 for invalid settings."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stdout,
        format="%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    try:
        settings = read(sys.argv[1:])
    except SettingError as error:
        log.error("wrong setting: %s", error)  # noqa: TRY400  # the text has the cause
        return 2
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        log.error("cannot serve: %s", error)  # noqa: TRY400
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
