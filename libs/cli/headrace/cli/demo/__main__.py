"""`python -m headrace.cli.demo`: a real model, served by everything that Headrace is, until Ctrl-C.

HEADRACE_DEMO_EXIT=1 stops by itself after success: exit code 0 and `demo ok` as the last line.
HEADRACE_DEMO_DATA is the data folder (default: .headrace/demo in the checkout). HEADRACE_CONSOLE=none leaves out the web console.
Exit codes are those of `headrace`; see headrace.cli.errors.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from types import FrameType

from headrace.cli.demo import calling, deploying
from headrace.cli.demo.children import Program
from headrace.cli.demo.console import ConsoleBuild
from headrace.cli.demo.demo_output import DemoOutput
from headrace.cli.demo.stack import Stack
from headrace.cli.errors import CliError, ExitCode
from headrace.cli.failures import explain, report
from headrace.common.contracts.http.services import ServiceDetail
from headrace.common.contracts.http.tokens import CreateToken
from headrace.embedded.state import StackState
from headrace.sdk import Client

_CHECK_S = 1.0


def main() -> int:
    """Run the demo and return the exit code."""
    teller = DemoOutput()
    by_itself = os.environ.get("HEADRACE_DEMO_EXIT", "") not in {"", "0"}
    try:
        with _stopping_once(teller):
            _run(teller, by_itself=by_itself)
    except KeyboardInterrupt:
        teller.plain("stopped before it was done")
        return ExitCode.INTERRUPTED
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        report(failure, as_json=False)
        return failure.code
    if by_itself:
        teller.plain("demo ok")
    return ExitCode.OK


def _run(teller: DemoOutput, *, by_itself: bool) -> None:
    root = _checkout()
    data = Path(os.environ.get("HEADRACE_DEMO_DATA") or root / ".headrace" / "demo").expanduser().absolute()
    teller.step(f"starting Headrace on {data} (Ctrl-C stops everything)")
    with Stack(data, teller) as stack:
        with ExitStack() as building:
            folder = _model_folder(root, data)
            script, weights = root / "examples" / "embeddings" / "prepare.py", folder.with_name("weights")
            argv = (sys.executable, str(script), "--output", str(folder), "--cache", str(weights))
            prepare = building.enter_context(Program("prepare.py", argv, teller.detail, stop_within_s=5))
            there = stack.ready()
            teller.step(f"Headrace runs: API {there.api_url}, endpoints {there.proxy_url}")
            if prepare.wait() != 0:
                raise CliError("the model folder could not be built", log=prepare.tail)
        key = there.admin_key_file.read_text(encoding="utf-8").strip()
        with Client(there.api_url, key) as client:
            service, token = _deploy(client, folder, data, teller)
        _call(stack, service, token, teller)
        _summary(there, service, token, teller)
        if not by_itself:
            with ExitStack() as processes:
                _until_interrupted(stack, ConsoleBuild(root, there.api_url, key, teller, processes), teller)
        teller.step("stopping everything")
        if (code := stack.stop()) != 0:
            raise CliError(f"the stack ended with {code}", log=stack.log("up"))


def _deploy(client: Client, folder: Path, data: Path, teller: DemoOutput) -> tuple[ServiceDetail, str]:
    teller.step("putting the model folder up")
    deploying.project(client, teller)
    there = deploying.folder(client, folder, data / "demo-uploads.json", teller)
    teller.step(f"serving it with {deploying.REPLICAS} replicas")
    service = deploying.service(client, there, teller)
    teller.step("making a token")
    return service, client.tokens.create(service.name, CreateToken(name="demo")).token


def _call(stack: Stack, service: ServiceDetail, token: str, teller: DemoOutput) -> None:
    teller.step("calling it with the openai client, then with curl")
    try:
        asked = (calling.SENTENCE, calling.RELATED, calling.UNRELATED)
        sentence, related, unrelated = calling.vectors(service.endpoint, token, asked)
        numbers = calling.call_with_curl(service.endpoint, token)
    except CliError as error:
        raise CliError(str(error), error.code, hint=error.hint, log=stack.log("appproxy")) from None
    close, far = calling.similarity(sentence, related), calling.similarity(sentence, unrelated)
    teller.detail(f"{close:.2f}  {calling.SENTENCE}  /  {calling.RELATED}")
    teller.detail(f"{far:.2f}  {calling.SENTENCE}  /  {calling.UNRELATED}")
    teller.detail("(cosine similarity: 1 means the same, 0 nothing in common)")
    teller.detail(f"curl got {numbers} numbers" if numbers else "there is no curl here; its line is below")
    if not close > far:
        raise CliError("the model finds the unrelated sentence nearer: it does not work")


def _summary(there: StackState, service: ServiceDetail, token: str, teller: DemoOutput) -> None:
    headrace = _short(Path(sys.executable).with_name("headrace"))
    teller.step("it works")
    teller.block(
        [
            "",
            f"endpoint   {service.endpoint}",
            f"token      {token}",
            f"logs       {there.data / 'logs'}",
            "",
            "Call it:",
            "",
            calling.curl_line(service.endpoint, token),
            "",
            "Try next (in another terminal):",
            f"  {headrace} status",
            f"  {headrace} service scale {service.name} 3 --wait",
            f"  {headrace} service logs {service.name} --follow",
            f"  {headrace} service show {service.name}      # then kill a replica's process and look again",
            f"  {headrace} --help",
            "",
        ]
    )


def _until_interrupted(stack: Stack, console: ConsoleBuild, teller: DemoOutput) -> None:
    teller.plain("Headrace keeps running; Ctrl-C stops everything.")
    try:
        while True:
            stack.check()
            console.look()
            Event().wait(_CHECK_S)
    except KeyboardInterrupt:
        teller.plain()


@contextmanager
def _stopping_once(teller: DemoOutput) -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into KeyboardInterrupt; ignore later ones, which would interrupt the
    stop.
    """
    heard = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        if not heard:
            heard = True
            raise KeyboardInterrupt
        teller.plain("stopping already")

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _checkout() -> Path:
    """Return the source checkout that contains this file, or the current folder. Raises CliError if neither is one."""
    for folder in (Path(__file__).parents[5], Path.cwd()):
        if (folder / "examples" / "embeddings" / "prepare.py").is_file():
            return folder
    raise CliError("the demo needs a checkout of Headrace: there is no examples/embeddings here", ExitCode.USAGE)


def _model_folder(root: Path, data: Path) -> Path:
    """Return the folder in which the model folder is built: in the checkout, or in the data folder if that is
    read-only.
    """
    build = root / "build"
    writable = os.access(build if build.exists() else root, os.W_OK)
    return (build if writable else data / "build") / "embeddings"


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


if __name__ == "__main__":
    sys.exit(main())
