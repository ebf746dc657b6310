"""Puts the web console into wheel and sdist (docs/adr/0044), and compiles the app-proxy's data plane into the wheel (docs/adr/0012).

The console is built where that of the sources is not there; HEADRACE_CONSOLE=none leaves it out. HEADRACE_COMPILE asks for compiling
(mypyc), `1`: compiled; `profiled`: compiled by gcc with a profile of its own requests, as wheels and images of a release are. The sources
stay beside what is made of them, and say the same: the interpreter runs them where nothing was compiled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SOURCES = ROOT / "services" / "appproxy"
FOLDER = "dataplane"
"""What a request passes."""
MANAGER = "services/manager"
CONSOLE = "headrace/manager/console"
"""Where managers find the files of the web console."""
FLAGS = ["-fno-semantic-interposition", "-fvisibility=hidden"]
"""Nobody outside calls or replaces the functions of the compiled modules: so they call each other directly, and may be inlined."""
KINDS = ("1", "profiled")
"""Values of HEADRACE_COMPILE; without it the wheel is of pure Python."""
RECORDING = ["-fprofile-generate", "-fprofile-update=single"]
"""The functions count how often each of their branches is taken, into a file beside each object file; a worker has one thread."""
RECORDED = ["-fprofile-use", "-fprofile-partial-training", "-Wno-missing-profile"]
"""gcc reads these files. What no recorded request came to is compiled as without a profile, not for size."""
RECORD_S = 600
"""Most time for the requests that are recorded, which take about one minute of CPU."""
INTERPRETED = {
    # The C parser of `json` does their work; and errors that a generator catches got out of the compiled one.
    "inspect/form_head",
    "inspect/json_head",
    "inspect/prompts",
    "auth/signatures",
    "telemetry/otel",  # their time is that of libraries that are not compiled
    "ratelimit/redis",  # that too; and mypyc has no asynchronous generators
    "server",
    "wiring",  # work at the start, and a few times a second
}


def modules() -> list[Path]:
    """Return the files to compile: the folder, without INTERPRETED and what only says what a package is."""
    folder = SOURCES / "headrace" / "appproxy" / FOLDER
    names = {file: file.relative_to(folder).with_suffix("").as_posix() for file in sorted(folder.rglob("*.py"))}
    return [file for file, name in names.items() if name not in INTERPRETED and file.stem != "__init__"]


class BuildHook(BuildHookInterface[Any]):
    """Called by hatchling for each build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and name what goes into the wheel or the sdist. An editable install stays as it is written."""
        if version == "editable":
            return
        if self.target_name == "wheel":
            self._compile(build_data)
        build_data["force_include"] |= _console(in_sdist=self.target_name == "sdist")

    def _compile(self, build_data: dict[str, Any]) -> None:
        kind = os.environ.get("HEADRACE_COMPILE", "")
        if not kind:
            return
        if kind not in KINDS:
            raise SystemExit(f"HEADRACE_COMPILE is {kind!r} (allowed: {', '.join(KINDS)}, or unset)")
        build_data["force_include"] |= _compile(Path(self._made.name), profiled=kind == "profiled")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - as it is called
        """The wheel has what was made."""
        self._made.cleanup()

    @cached_property
    def _made(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="headrace-compile-")


def _console(*, in_sdist: bool) -> dict[str, str]:
    """Return where the web console goes, built if it is not there. A checkout has its sources, an sdist what was built."""
    if os.environ.get("HEADRACE_CONSOLE") == "none" or (ROOT / MANAGER / CONSOLE).is_dir():
        return {}
    built = ROOT / "build" / "console"
    if (ROOT / "console" / "package.json").is_file():
        done = subprocess.run(
            [sys.executable, ROOT / "scripts" / "console.py", "build"], stdout=sys.stderr, check=False
        )
        if done.returncode:
            raise SystemExit(
                "the web console could not be built, as is said above; HEADRACE_CONSOLE=none leaves it out"
            )
    elif not (built / "index.html").is_file():  # an image is built with that of `make console`, and without its sources
        raise SystemExit(f"found neither console/ nor {built}; HEADRACE_CONSOLE=none leaves the web console out")
    return {str(built): f"{MANAGER}/{CONSOLE}" if in_sdist else CONSOLE}


def _compile(into: Path, *, profiled: bool) -> dict[str, str]:
    """Compile below `into`, and return the names in the wheel of the files that were made."""
    from mypyc.build import mypycify  # noqa: PLC0415 - only where something is compiled

    os.chdir(ROOT)  # where mypy's paths begin
    paths = [str(file.relative_to(ROOT)) for file in modules()]
    _say(f"compiling {len(paths)} modules of the data plane, a minute or two")
    extensions = mypycify(["--config-file", "pyproject.toml", *paths], opt_level="2", target_dir=str(into / "c"))
    common = list(extensions[0].extra_compile_args)
    if profiled:
        _build(extensions, into, [*common, *FLAGS, *RECORDING], link=RECORDING)
        _record(into)
        _say("compiling them again, with the profile")
        _build(extensions, into, [*common, *FLAGS, *RECORDED], link=[])
    else:
        _build(extensions, into, [*common, *FLAGS], link=[])
    return {str(file): str(file.relative_to(into / "lib")) for file in sorted((into / "lib").rglob("*.so"))}


def _build(extensions: Sequence[Any], into: Path, flags: list[str], *, link: list[str]) -> None:
    """Compile all of `extensions` with these flags. Object files keep their places: a profile is found by them."""
    from setuptools import Distribution  # type: ignore[import-untyped]  # noqa: PLC0415

    for extension in extensions:
        extension.extra_compile_args, extension.extra_link_args = flags, link
    distribution = Distribution(
        {
            "name": "headrace-data-plane",
            "ext_modules": extensions,
            "package_dir": {"": str(SOURCES.relative_to(ROOT))},
        }
    )
    build = distribution.get_command_obj("build_ext")
    build.build_lib, build.build_temp, build.force = str(into / "lib"), str(into / "temp"), True
    distribution.run_command("build_ext")


def _record(into: Path) -> None:
    """Run requests through the modules that count, so that a profile lies beside each object file."""
    tree = into / "recording"
    for sources in (*ROOT.glob("libs/*/headrace"), *ROOT.glob("services/*/headrace")):
        shutil.copytree(sources, tree / "headrace", dirs_exist_ok=True)
    shutil.copytree(into / "lib", tree, dirs_exist_ok=True)
    _say("recording a profile of requests, a minute or two")
    command = [sys.executable, "-m", "benchmarks.proxy.count", "--seconds-only", "--build", str(tree)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RECORD_S, check=False)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"no profile: the requests took longer than {RECORD_S} s") from None
    if done.returncode or not any((into / "temp").rglob("*.gcda")):
        found = done.stderr.strip() or "the compiler made no profile"
        raise SystemExit(f"no profile; HEADRACE_COMPILE=profiled needs gcc and the locked packages:\n{found[-2000:]}")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
