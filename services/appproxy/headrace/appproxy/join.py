"""`headrace-proxy join`: checks a machine, and joins it to an installation as an app-proxy."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from headrace.appproxy.settings import Settings
from headrace.common.joining.checks import Check, ports_check
from headrace.common.joining.command import Joiner
from headrace.common.joining.files import SettingValue
from headrace.common.joining.options import absolute_path
from headrace.common.joining.redis import add_redis_option, redis_check, redis_url


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--listen-host", default="0.0.0.0", help="Where callers reach it. Default: %(default)s.")
    parser.add_argument("--listen-port", type=int, default=8000, help="Default: %(default)s.")
    parser.add_argument("--admin-port", type=int, default=8093, help="Of its own page. Default: %(default)s.")
    parser.add_argument("--advertise-url", help="Base URL of endpoints. Default: as at the managers.")
    parser.add_argument(
        "--data-dir",
        type=absolute_path,
        default=Path("/var/lib/headrace/appproxy"),
        help="Its last route tables. Default: %(default)s.",
    )
    add_redis_option(parser)


def _checks(given: argparse.Namespace) -> Sequence[Check]:
    return (
        ports_check({given.listen_port: "--listen-port", given.admin_port: "--admin-port"}),
        redis_check(given, required=False, without="it limits callers for itself, not with others"),
    )


def _settings(given: argparse.Namespace, told: Mapping[str, Any]) -> Mapping[str, SettingValue | None]:
    url = redis_url(given)
    redis: dict[str, SettingValue] = {"redis_url": url} if url else {}
    return {
        "listen_host": given.listen_host,
        "listen_port": given.listen_port,
        "admin_port": given.admin_port,
        "data_dir": str(given.data_dir),
        "advertise_url": given.advertise_url or str(told.get("advertise_url", "")),
        **redis,
    }


JOINER: Final = Joiner("proxy", "headrace-proxy", "appproxy", _options, _checks, _settings, Settings)
