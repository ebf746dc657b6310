"""Flags for a replica's spec, shared by `service create`, `update` and `validate`.

Flags override `--file`, so that one file serves several services.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.cli.commands.suggestions import complete_folder, complete_secret, complete_size
from headrace.cli.parsing import env_file, mount, pairs
from headrace.common.contracts.vocabulary import RuntimeVariant


@dataclass(frozen=True)
class SpecFlags:
    """Flags for the spec of a replica. None or empty: not given."""

    folder: Annotated[
        str | None,
        typer.Option(
            "--folder",
            metavar="FOLDER",
            help="Model folder, name or id; PROJECT/FOLDER of one that is shared.",
            autocompletion=complete_folder,
        ),
    ] = None
    model_uri: Annotated[
        str | None,
        typer.Option(
            "--model-uri",
            metavar="URI",
            help="Instead of --folder: hf://org/name[@revision], s3://bucket/prefix, https://… of a file, file:///path on machines.",
        ),
    ] = None
    runtime: Annotated[RuntimeVariant | None, typer.Option("--runtime", help="Runtime variant (default custom).")] = (
        None
    )
    image: Annotated[str | None, typer.Option("--image", help="Container image.")] = None
    architecture: Annotated[
        str | None, typer.Option("--architecture", metavar="x86_64|aarch64", help="CPU of the image.")
    ] = None
    definition: Annotated[
        str | None,
        typer.Option(
            "--definition", metavar="PATH", help="Model definition in the folder (default model-definition.yaml)."
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Which model of the definition is served, where it has several."),
    ] = None
    model_destination: Annotated[
        str | None,
        typer.Option("--model-destination", metavar="PATH", help="Where the folder is mounted (default /models)."),
    ] = None
    command_line: Annotated[
        str | None,
        typer.Option(
            "--command",
            metavar="LINE",
            help="For cmd and custom: the command line (custom: instead of the definition's).",
        ),
    ] = None
    container_port: Annotated[int | None, typer.Option("--port", metavar="PORT", help="Where the program listens.")] = (
        None
    )
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="SIZE",
            help="Amounts by name: see headrace size ls. Those of --slot win over it, also earlier ones.",
            autocompletion=complete_size,
        ),
    ] = None
    slot: Annotated[
        list[str] | None,
        typer.Option(
            "--slot",
            metavar="NAME=AMOUNT",
            help="cpu=2, mem=4g, cuda.device=1, cuda.shares=0.5. Repeatable; an update keeps the others.",
        ),
    ] = None
    shm_size: Annotated[
        str | None,
        typer.Option(
            "--shm-size",
            metavar="AMOUNT",
            help="Shared memory (/dev/shm) of the container, for example 2g; it counts as memory (default: the machine's, 1 GiB).",
        ),
    ] = None
    env: Annotated[
        list[str] | None,
        typer.Option(
            "--env", "-e", metavar="A=B", help="Environment variable. Repeatable; an update keeps the others."
        ),
    ] = None
    env_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--env-file",
            metavar="FILE",
            help="Variables, one NAME=VALUE a line. Repeatable; an update keeps the others.",
        ),
    ] = None
    mask: Annotated[
        list[str] | None,
        typer.Option(
            "--mask",
            metavar="NAME",
            help="Variable whose value is not shown; what must not be stored as others are is a secret. Repeatable; an update keeps "
            "the others.",
        ),
    ] = None
    env_secret: Annotated[
        list[str] | None,
        typer.Option(
            "--env-secret",
            metavar="A=SECRET[@VERSION]",
            help="Environment variable with the value of a secret of the project. Repeatable; an update keeps the others.",
        ),
    ] = None
    pull_secret: Annotated[
        str | None,
        typer.Option(
            "--pull-secret",
            metavar="SECRET[@VERSION]",
            help="Secret USER:PASSWORD of the project, with which the image is pulled.",
            autocompletion=complete_secret,
        ),
    ] = None
    model_secret: Annotated[
        str | None,
        typer.Option(
            "--model-secret",
            metavar="SECRET[@VERSION]",
            help="Secret of the project with which --model-uri is fetched: a token, of s3:// ACCESS_KEY_ID:SECRET_ACCESS_KEY.",
            autocompletion=complete_secret,
        ),
    ] = None
    extra_mounts: Annotated[
        list[str] | None,
        typer.Option(
            "--mount", metavar="FOLDER[:/PATH][:rw]", help="Data or general folder. Repeatable; an update replaces all."
        ),
    ] = None

    def given(self) -> dict[str, Any]:
        """Return the given fields of a RevisionSpec. Raises CliError, OSError."""
        environ: dict[str, str] = {}
        for path in self.env_files or ():
            environ |= env_file(path)
        environ |= pairs(self.env or (), "--env")
        fields = {
            "folder": self.folder,
            "model_uri": self.model_uri,
            "runtime": self.runtime,
            "image": self.image,
            "architecture": self.architecture,
            "definition_path": self.definition,
            "model": self.model,
            "model_destination": self.model_destination,
            "command": self.command_line,
            "port": self.container_port,
            "size": self.size,
            "slots": pairs(self.slot, "--slot") if self.slot else None,
            "shm_size": self.shm_size,
            "environ": environ or None,
            "masked": self.mask or None,
            "secret_environ": pairs(self.env_secret, "--env-secret") if self.env_secret else None,
            "pull_secret": self.pull_secret,
            "model_secret": self.model_secret,
            "extra_mounts": [mount(item) for item in self.extra_mounts] if self.extra_mounts else None,
        }
        return {name: value for name, value in fields.items() if value is not None}


def overlaid(below: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merge `over` into `below`; mappings are merged key by key. A model folder replaces a model URI, a variable's value a secret, and
    the other way round.
    """
    merged: dict[str, Any] = {
        name: {**(below.get(name) or {}), **over[name]}
        for name in (
            "slots",
            "environ",
            "secret_environ",
            "metadata",
            "balance",
            "limits",
            "caller_limits",
            "cors",
            "rollout",
        )
        if name in over and isinstance(below.get(name) or {}, dict)
    }
    for mine, others in (("environ", "secret_environ"), ("secret_environ", "environ")):
        replaced = (over.get(mine) or {}).keys() - (over.get(others) or {}).keys()
        left = merged.get(others, below.get(others))
        if replaced and isinstance(left, dict):
            merged[others] = {name: value for name, value in left.items() if name not in replaced}
    if over.get("masked") and isinstance(below.get("masked") or [], list):
        merged["masked"] = list(dict.fromkeys([*(below.get("masked") or []), *over["masked"]]))
    other = {"folder": "model_uri", "model_uri": "folder"}
    replaced = {other[name] for name in over if name in other and other[name] not in over}
    return {**{name: value for name, value in below.items() if name not in replaced}, **over, **merged}
