"""The spec of a revision: everything that one asks for in order to start one replica.

Requests carry it, revisions keep it, and decisions resolve it, so it belongs to none of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from headrace.common.contracts.ids import FolderReference, Slug
from headrace.common.contracts.model_uri import ModelUri
from headrace.common.contracts.numbers import NO_TRUTH
from headrace.common.contracts.secret import SecretReference
from headrace.common.contracts.slots import RequestedSlots, ShmSize
from headrace.common.contracts.vocabulary import RuntimeVariant
from headrace.common.contracts.wording import Refused, pattern

ENVIRON_NAME = pattern(
    r"^[A-Za-z_][A-Za-z0-9_]{0,254}$",
    "a variable's name: at most 255 letters, digits and _, not beginning with a digit",
)
EnvironName = Annotated[str, StringConstraints(pattern=ENVIRON_NAME)]
MASK: Final = "********"
"""What is shown instead of a masked variable's value."""
MAX_VARIABLES: Final = 500
"""Environment variables of a service."""
EnvironValue = Annotated[str, StringConstraints(max_length=32_768)]
_IMAGE = pattern(
    r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$",
    "an image as a container engine names it, for example registry.example.com/vllm:v0.9",
)
Image = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=_IMAGE)]
ABSOLUTE = pattern(r"^/[^\x00]*$", "a path that begins with /")
AbsolutePath = Annotated[str, StringConstraints(pattern=ABSOLUTE, max_length=4096)]
CommandWords = Annotated[
    tuple[Annotated[str, StringConstraints(max_length=65_536)], ...], Field(min_length=1, max_length=1000)
]
CommandLine = Annotated[str, StringConstraints(min_length=1, max_length=65_536)]


_TAKEN_ENVIRON: Any = Annotated[dict[str, EnvironValue | float | bool], Field(max_length=MAX_VARIABLES)]


def values_as_text(environ: object) -> object:
    """Convert environment variables to text: `PORT: 8000` means the text 8000. Raises Refused for values without a text
    form.
    """
    return {name: _as_text(name, value) for name, value in environ.items()} if isinstance(environ, dict) else environ


def _as_text(name: object, value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise Refused(value, "text, a number, true or false", below=str(name))
    return value


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ExtraMount(_Closed):
    """A `data` or `general` folder (name or id; `<project>/<name>` of one that is shared) mounted at a path (default
    `/home/work/<folder name>`). Writable only where it is shared for writing.
    """

    folder: FolderReference
    target: AbsolutePath | None = None
    read_only: bool = True


class RevisionSpec(_Closed):
    """Spec of a replica. Fields left out come from the size, then from the model definition, then from
    service-definition.toml, then from the runtime's baseline.
    """

    folder: FolderReference | None = None
    """Model folder, by name or id; `<project>/<name>` of one that another project shares. `custom` needs one, or `model_uri`."""
    model_uri: ModelUri | None = None
    """Where the model's files come from instead of a folder: `hf://org/name[@revision]`, `s3://bucket/prefix`, or
    `https://…` of a file are imported once, and mounted as a folder's; `file:///path` is mounted from the machine."""
    runtime: RuntimeVariant = "custom"
    image: Image | None = None
    architecture: Literal["x86_64", "aarch64"] | None = None
    definition_path: Annotated[str | None, StringConstraints(max_length=1024)] = None
    """Path of the model definition in the folder; default model-definition.yaml, then .yml."""
    model: Annotated[str | None, StringConstraints(min_length=1, max_length=200)] = None
    """Name of the entry of the definition's `models` that is served; needed where it has several."""
    model_destination: AbsolutePath | None = None
    """Where the model folder is mounted; default /models. `custom` and `cmd` only."""
    command: CommandWords | CommandLine | None = None
    """For `cmd` the command line; for `custom` instead of the definition's. Other variants have their own."""
    port: Annotated[int | None, Field(ge=1, le=65535)] = None
    """Where the program listens; default the definition's, or the variant's."""
    size: Slug | None = None
    """Resource preset, by name: one of the project, or one for all projects. Its amounts are those of the time when the revision is
    made, and win over the files'."""
    slots: RequestedSlots | None = None
    """Amounts that win over those of `size`, slot by slot."""
    shm_size: ShmSize | None = None
    """Shared memory (`/dev/shm`) of the container, in bytes or as `2g`: at most its memory, as which it counts. Null: that of the
    machine's agent (`docker_shm_bytes`, 1 GiB). Containers only: on the process runtime programs have the machine's."""
    environ: Annotated[
        dict[EnvironName, EnvironValue],
        BeforeValidator(values_as_text, json_schema_input_type=_TAKEN_ENVIRON),
    ] = {}
    """Numbers and booleans become text, as YAML and TOML write them: 4, 1.5, true."""
    masked: Annotated[tuple[EnvironName, ...], Field(max_length=500)] = ()
    """Variables of `environ` whose values are not shown: a spec is read with `********` in their place, which in a change stands for
    the value of the revision before. They are stored as others are; what must not be is a secret."""
    secret_environ: Annotated[dict[EnvironName, SecretReference], Field(max_length=100)] = {}
    """Environment variables whose values are secrets of the project: `{"HF_TOKEN": "hf-token"}`. A revision keeps the versions
    that it was made with; `hf-token@3` names one."""
    pull_secret: SecretReference | None = None
    """Secret `USER:PASSWORD` with which machines pull the image from its registry."""
    model_secret: SecretReference | None = None
    """Secret with which managers fetch `model_uri`: a token, of `s3://` `ACCESS_KEY_ID:SECRET_ACCESS_KEY`. It wins over the
    operator's credentials."""
    extra_mounts: Annotated[tuple[ExtraMount, ...], Field(max_length=100)] = ()
    cluster_size: Annotated[Literal[1], NO_TRUTH] = 1

    @classmethod
    def of(cls, asked: RevisionSpec) -> RevisionSpec:
        """Return the RevisionSpec part of a request."""
        return RevisionSpec(**{name: getattr(asked, name) for name in RevisionSpec.model_fields})

    @field_validator("environ")
    @classmethod
    def _bounded(cls, environ: dict[str, str]) -> dict[str, str]:
        if len(environ) > MAX_VARIABLES:
            raise Refused(f"{len(environ)} variables", f"at most {MAX_VARIABLES}")
        return environ
