"""Settings of the simulated engine: flags override the environment (HEADRACE_ENGINE_*), which overrides the defaults.

Only the standard library is used here, so that the engine can be copied into a small image beside aiohttp.
"""

import argparse
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

PREFIX = "HEADRACE_ENGINE_"
NEVER = -1
Value: TypeAlias = float | bool
_Description: TypeAlias = tuple[Value, str, float, float]  # default, what it does, least, most


class SettingError(ValueError):
    """Unknown setting, or a value that is not allowed. `name` is the setting's; the text says what is allowed."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name


def _setting(default: Value, text: str, low: float = 0, high: float = 0) -> Any:  # a field() is of every type
    return field(default=default, metadata={"help": text, "low": low, "high": high})


@dataclass(frozen=True)
class Behaviour:
    """Behaviour of the engine. Every field can be changed while it runs, through POST /debug/settings."""

    load_s: float = _setting(0.0, "seconds from the start until /health answers 200", 0, 86_400)
    time_to_first_token_s: float = _setting(0.02, "seconds from getting a slot to the first token", 0, 3_600)
    time_per_token_s: float = _setting(0.005, "seconds between two tokens", 0, 3_600)
    jitter: float = _setting(0.0, "random part of both times, 0.2 means up to 20 % more or less", 0, 1)
    max_running: int = _setting(16, "requests that run at the same time; the others wait", 1, 100_000)
    max_waiting: int = _setting(1_024, "requests that may wait; further ones are answered 429", 0, 1_000_000)
    answer_tokens: int = _setting(32, "length of an answer whose request does not ask for fewer tokens", 1, 1_000_000)
    failure_rate: float = _setting(0.0, "share of requests that fail, 0 to 1", 0, 1)
    failure_status: int = _setting(500, "status code of the requests that fail", 400, 599)
    fail_health: bool = _setting(default=False, text="answer /health with 503")
    hang: bool = _setting(default=False, text="accept requests and never answer them while this is set")
    hang_health: bool = _setting(default=False, text="never answer /health while this is set")
    cut_after_tokens: int = _setting(
        NEVER, "abort a stream's connection after so many tokens; -1: never", -1, 1_000_000
    )
    crash_after_requests: int = _setting(
        NEVER, "exit when the n-th request from now arrives; 0: at once; -1: never", -1, 1 << 31
    )
    crash_exit_code: int = _setting(1, "exit code of that crash", 0, 255)
    ballast_mib: int = _setting(0, "memory to hold, in MiB", 0, 1 << 20)

    def changed(self, values: Mapping[str, object]) -> "Behaviour":
        """Return a copy with `values` set. Raises SettingError naming the first invalid one."""
        known = _live_settings()
        accepted: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise SettingError(name, f"no such setting; there are {', '.join(known)}")
            accepted[name] = _checked(name, value, known[name])
        return replace(self, **accepted)


@dataclass(frozen=True)
class Settings:
    """All settings of the engine."""

    host: str = "0.0.0.0"
    port: int = 8000
    models: tuple[str, ...] = ("simulated",)
    """Model names of the engine; the first is the default and labels the metrics."""
    seed: int = 0
    """Seed of all randomness: answers, failures and jitter."""
    max_model_len: int = 8_192
    """Longest prompt and completion together, in tokens."""
    kv_cache_tokens: int = 131_072
    """Tokens that fill the simulated KV cache; only the reported usage depends on it."""
    embedding_dimensions: int = 384
    shutdown_grace_s: float = 30.0
    """Longest wait for open requests after SIGTERM."""
    debug: bool = True
    """Serve /debug/*. Anyone who reaches these paths can change the engine's behaviour and end it."""
    behaviour: Behaviour = Behaviour()


def _live_settings() -> dict[str, _Description]:
    return {
        f.name: (getattr(Behaviour, f.name), f.metadata["help"], f.metadata["low"], f.metadata["high"])
        for f in fields(Behaviour)
    }


_START: dict[str, _Description] = {
    "port": (8000, "port to listen on; else HEADRACE_PORT, else PORT, else 8000; 0 takes a free one", 0, 65_535),
    "seed": (0, "seed of all randomness", 0, 1 << 62),
    "max_model_len": (8_192, "longest prompt and answer together, in tokens", 1, 100_000_000),
    "kv_cache_tokens": (131_072, "tokens that fill the simulated KV cache", 1, 1 << 40),
    "embedding_dimensions": (384, "length of an embedding", 1, 16_384),
    "shutdown_grace_s": (30.0, "longest wait for open requests after SIGTERM", 0, 3_600),
    "debug": (True, "serve /debug/*", 0, 0),
}


def read(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `argv` (without the program's name) and `environ` (the process's by default).

    Raises SettingError for an invalid value or an unknown HEADRACE_ENGINE_* name. Invalid flags end the process with
    argparse's message, `--help` ends it with the list of flags.
    """
    env = os.environ if environ is None else environ
    given: dict[str, object] = {
        key.removeprefix(PREFIX).lower(): value for key, value in env.items() if key.startswith(PREFIX)
    }
    port = env.get("HEADRACE_PORT") or env.get("PORT")
    if "port" not in given and port:
        given["port"] = port
    given |= {name: value for name, value in vars(_parser().parse_args(argv)).items() if value is not None}

    start: dict[str, Any] = {}
    if "host" in given:
        start["host"] = str(given.pop("host"))
    if "model_name" in given:
        start["models"] = _names(given.pop("model_name"))
    for name, description in _START.items():
        if name in given:
            start[name] = _checked(name, given.pop(name), description)
    return Settings(**start, behaviour=Behaviour().changed(given))


def _names(value: object) -> tuple[str, ...]:
    parts: Sequence[str] = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else ()
    names = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not names:
        raise SettingError("model_name", "at least one name is needed")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m headrace.engine",
        description="Simulated OpenAI-compatible engine. Each flag is also a variable HEADRACE_ENGINE_<FLAG>.",
        allow_abbrev=False,
    )
    parser.add_argument("--host", help="address to listen on (0.0.0.0)")
    parser.add_argument("--model-name", "--served-model-name", nargs="+", help="names of the model (simulated)")
    for name, (default, text, _, _) in (_START | _live_settings()).items():
        flag = "--" + name.replace("_", "-")
        shown = f"{text} ({default})".replace("%", "%%")
        if isinstance(default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=shown)
        else:
            parser.add_argument(flag, metavar="N", help=shown)
    return parser


def _checked(name: str, value: object, description: _Description) -> Value:
    """Convert `value` to the default's type and check its limits; text is parsed like flags and variables."""
    default, _, low, high = description
    if isinstance(default, bool):
        return _boolean(name, value)
    number = _number(name, value, int if isinstance(default, int) else float)
    if not low <= number <= high:
        raise SettingError(name, f"found {value!r}, allowed is {low:.12g} to {high:.12g}")
    return number


def _boolean(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise SettingError(name, f"found {value!r}, allowed is true or false")


def _number(name: str, value: object, kind: Callable[[str], float]) -> float:
    what = "a whole number" if kind is int else "a number"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise SettingError(name, f"found {value!r}, allowed is {what}")
    try:
        number = kind(str(value))
    except ValueError:
        raise SettingError(name, f"found {value!r}, allowed is {what}") from None
    if not math.isfinite(number):
        raise SettingError(name, f"found {value!r}, allowed is {what}")
    return number
