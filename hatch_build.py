"""Compiles the app-proxy's data plane into the wheel (mypyc), where HEADRACE_COMPILE=1 asks for it: docs/adr/0012.

The sources stay beside what is made of them, and say the same: the interpreter runs them where nothing was compiled.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SOURCES = ROOT / "services" / "appproxy"
FOLDER = "dataplane"
"""What a request passes."""
FLAGS = ["-fno-semantic-interposition", "-fvisibility=hidden"]
"""Nobody outside calls or replaces the functions of the compiled modules: so they call each other directly, and may be inlined."""
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


class CompileHook(BuildHookInterface[Any]):
    """Called by hatchling for each build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name what goes into the wheel. An editable install stays as it is written."""
        if version == "editable" or os.environ.get("HEADRACE_COMPILE") != "1":
            return
        build_data["force_include"] |= _compile(Path(self._made.name))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - as it is called
        """The wheel has what was made."""
        self._made.cleanup()

    @cached_property
    def _made(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="headrace-compile-")


def _compile(into: Path) -> dict[str, str]:
    """Compile below `into`, and return the names in the wheel of the files that were made."""
    from mypyc.build import mypycify  # noqa: PLC0415 - only where something is compiled
    from setuptools import Distribution  # type: ignore[import-untyped]  # noqa: PLC0415

    os.chdir(ROOT)  # where mypy's paths begin
    paths = [str(file.relative_to(ROOT)) for file in modules()]
    sys.stderr.write(f"compiling {len(paths)} modules of the data plane, a minute or two\n")
    extensions = mypycify(["--config-file", "pyproject.toml", *paths], opt_level="2", target_dir=str(into / "c"))
    for extension in extensions:
        extension.extra_compile_args += FLAGS
    distribution = Distribution(
        {
            "name": "headrace-data-plane",
            "ext_modules": extensions,
            "package_dir": {"": str(SOURCES.relative_to(ROOT))},
        }
    )
    build = distribution.get_command_obj("build_ext")
    build.build_lib, build.build_temp = str(into / "lib"), str(into / "temp")
    distribution.run_command("build_ext")
    return {str(file): str(file.relative_to(into / "lib")) for file in sorted((into / "lib").rglob("*.so"))}
