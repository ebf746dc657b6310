from __future__ import annotations

import pytest

from headrace.autoscaler.settings import Settings
from headrace.common.runtime.settings import load_settings

ENVIRONMENT = {
    "ID": "autoscaler-1",
    "NATS_URL": "nats://127.0.0.1:4222",
    "NATS_USER": "autoscaler",
    "NATS_PASSWORD": "np",
    "REDIS_URL": "redis://:rp@127.0.0.1:6379/0",
    "ADMIN_PORT": "0",
}


def test_settings_come_from_the_environment_and_hide_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(f"HEADRACE_AUTOSCALER_{name}", value)
    settings = load_settings(Settings)
    assert settings.redis_url.get_secret_value() == "redis://:rp@127.0.0.1:6379/0"
    assert (settings.tick_s, settings.window_s, settings.freshness_s) == (1.0, 10.0, 10.0)
    assert "rp@" not in repr(settings)


def test_a_mistyped_variable_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(f"HEADRACE_AUTOSCALER_{name}", value)
    monkeypatch.setenv("HEADRACE_AUTOSCALER_TICKS", "1")
    with pytest.raises(SystemExit) as stop:
        load_settings(Settings)
    assert stop.value.code == 78
    assert "HEADRACE_AUTOSCALER_TICK_S" in capsys.readouterr().err
