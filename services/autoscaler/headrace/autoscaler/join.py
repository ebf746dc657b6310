"""`headrace-autoscaler join`: checks a machine, and joins it to an installation as an autoscaler."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from headrace.autoscaler.settings import Settings
from headrace.common.joining.checks import Check, ports_check
from headrace.common.joining.command import Joiner, wants_unit
from headrace.common.joining.files import SettingValue
from headrace.common.joining.options import absolute_path
from headrace.common.joining.redis import add_redis_option, redis_check, redis_url


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--admin-port", type=int, default=8094, help="Of its own page. Default: %(default)s.")
    parser.add_argument(
        "--data-dir",
        type=absolute_path,
        default=Path("/var/lib/headrace/autoscaler"),
        help="Its identity. Default: %(default)s.",
    )
    add_redis_option(parser)


def _checks(given: argparse.Namespace) -> Sequence[Check]:
    without = "its start takes HEADRACE_AUTOSCALER_REDIS_URL"
    return (
        ports_check({given.admin_port: "--admin-port"}),
        redis_check(given, required=wants_unit(given), without=without),
    )


def _settings(given: argparse.Namespace, _: Mapping[str, Any]) -> Mapping[str, SettingValue | None]:
    url = redis_url(given)
    redis: dict[str, SettingValue] = {"redis_url": url} if url else {}
    return {"admin_port": given.admin_port, "data_dir": str(given.data_dir), **redis}


JOINER: Final = Joiner("autoscaler", "headrace-autoscaler", "autoscaler", _options, _checks, _settings, Settings)
