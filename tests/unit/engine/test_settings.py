"""Where the engine's settings come from, and which are refused."""

import pytest

from headrace.engine.settings import NEVER, Behaviour, SettingError, read


def test_flags_beat_the_environment_which_beats_the_defaults() -> None:
    environ = {"HEADRACE_ENGINE_LOAD_S": "3", "HEADRACE_ENGINE_MAX_RUNNING": "4", "HEADRACE_ENGINE_HANG": "yes"}
    settings = read(["--load-s", "1.5", "--no-hang"], environ)
    assert settings.behaviour.load_s == 1.5
    assert settings.behaviour.max_running == 4
    assert settings.behaviour.hang is False
    assert settings.behaviour.crash_after_requests == NEVER


@pytest.mark.parametrize(
    ("argv", "environ", "port"),
    [
        ([], {}, 8000),
        ([], {"PORT": "1"}, 1),
        ([], {"PORT": "1", "HEADRACE_PORT": "2"}, 2),
        ([], {"PORT": "1", "HEADRACE_PORT": "2", "HEADRACE_ENGINE_PORT": "3"}, 3),
        (["--port", "4"], {"PORT": "1", "HEADRACE_PORT": "2", "HEADRACE_ENGINE_PORT": "3"}, 4),
    ],
)
def test_the_port_comes_from_the_nearest_place(argv: list[str], environ: dict[str, str], port: int) -> None:
    assert read(argv, environ).port == port


def test_several_models_can_be_named() -> None:
    assert read(["--model-name", "a", "b"], {}).models == ("a", "b")
    assert read([], {"HEADRACE_ENGINE_MODEL_NAME": "a, b,a"}).models == ("a", "b")


def test_a_mistyped_variable_is_refused() -> None:
    with pytest.raises(SettingError, match="laod_s: no such setting"):
        read([], {"HEADRACE_ENGINE_LAOD_S": "3"})


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"failure_rate": 1.5}, "failure_rate: found 1.5, allowed is 0 to 1"),
        ({"failure_rate": "nan"}, "failure_rate: found 'nan', allowed is a number"),
        ({"max_running": 0}, "max_running: found 0, allowed is 1 to 100000"),
        ({"max_running": 1.5}, "max_running: found 1.5, allowed is a whole number"),
        ({"max_running": True}, "max_running: found True, allowed is a whole number"),
        ({"max_running": None}, "max_running: found None, allowed is a whole number"),
        ({"hang": 1}, "hang: found 1, allowed is true or false"),
        ({"load_s": [1]}, "load_s: found .*, allowed is a number"),
        ({"nothing": 1}, "nothing: no such setting"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(values: dict[str, object], text: str) -> None:
    with pytest.raises(SettingError, match=text):
        Behaviour().changed(values)


def test_a_change_keeps_the_rest() -> None:
    before = Behaviour(load_s=3)
    assert before.changed({"hang": True}) == Behaviour(load_s=3, hang=True)
    assert before.changed({}) == before
