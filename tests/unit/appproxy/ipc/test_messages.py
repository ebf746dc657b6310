"""Messages between the parent and a worker: what was sent is what comes, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from typing import Any, TypeVar, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.appproxy.ipc import messages
from headrace.appproxy.ipc.codec import (
    MAX_DESCRIPTORS,
    ChannelError,
    Codec,
    ControlMessage,
    InvalidMessageError,
    UnknownMessageError,
)
from headrace.appproxy.ipc.messages import (
    PARENT_MESSAGES,
    WORKER_MESSAGES,
    ApplyTable,
    Drain,
    Leaving,
    Listen,
    ParentMessage,
    Report,
    Start,
    Synced,
    Unlisten,
    WorkerMessage,
)
from headrace.appproxy.ipc.snapshot import DrainCounts, QueueDepth, TrafficSnapshot
from headrace.appproxy.ipc.stats import HistogramCounts, ReplicaCounts, ServiceCounts, StatsDelta
from headrace.appproxy.ipc.usage import UsageCounts
from headrace.appproxy.settings import Settings
from headrace.common.contracts.messages.routes import NamedClient, RateLimits, Revocation
from tests.support.effort import examples
from tests.support.factories.route_tables import route, table

T = TypeVar("T")
counts = st.integers(0, 2**60)
seconds = st.floats(0, 1e9)
ids = st.uuids()
words = st.text(max_size=20)


def mapped(keys: st.SearchStrategy[Any], values: st.SearchStrategy[T]) -> st.SearchStrategy[dict[Any, T]]:
    return st.dictionaries(keys, values, max_size=3)


def several(one: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(one, max_size=3).map(tuple)


histograms = st.none() | st.builds(HistogramCounts, several(counts), seconds)
replicas = st.builds(
    ReplicaCounts,
    service_id=ids,
    revision_id=ids,
    session_id=ids,
    codes=mapped(st.integers(0, 999), counts),
    broken=mapped(words, counts),
    durations=histograms,
    first_bytes=histograms,
    per_event=histograms,
    **dict.fromkeys(
        ("bytes_received", "bytes_sent", "prompt_tokens", "completion_tokens", "retried", "cut"),
        counts,
    ),
)
services = st.builds(
    ServiceCounts,
    service_id=ids,
    refused=mapped(words, counts),
    retries=mapped(words, counts),
    ejections=counts,
    preflights=counts,
    queue_seconds=histograms,
)
usages = st.builds(
    UsageCounts,
    service_id=ids,
    revision_id=st.none() | ids,
    caller=words,
    last_s=seconds,
    **dict.fromkeys(
        (
            "hour",
            "requests",
            "errors",
            "refused",
            "prompt_tokens",
            "completion_tokens",
            "estimated_tokens",
            "audio_ms",
        ),
        counts,
    ),
)
snapshots = st.builds(
    TrafficSnapshot,
    in_flight=mapped(ids, counts),
    drains=mapped(
        ids,
        st.builds(
            DrainCounts,
            slowest_s=seconds,
            **dict.fromkeys(("in_flight", "started", "finished", "retried", "failed", "cut"), counts),
        ),
    ),
    queues=mapped(ids, st.builds(QueueDepth, requests=counts, oldest_s=seconds)),
    ejected=st.frozensets(ids, max_size=3),
    connections=counts,
)
deltas = st.builds(
    StatsDelta,
    services=several(services),
    replicas=several(replicas),
    malformed=mapped(words, counts),
    unknown=mapped(words, counts),
    illegal_transitions=mapped(words, counts),
    preflights=counts,
)
clients = st.builds(
    NamedClient,
    client_id=ids,
    name=st.just("robot"),
    secret_sha256=st.just("0" * 64),
    limits=st.builds(RateLimits, in_flight=st.none() | st.integers(1, 9)),
    share=st.integers(1, 1000),
)
tables = st.builds(
    table,
    generation=st.integers(1, 2**60),
    routes=several(st.builds(route, st.integers(1, 99), port=st.integers(1, 65535))),
    removed=st.booleans(),
    clients=several(clients),
    revocations=several(st.builds(Revocation, token_id=ids, expires_at=st.just(datetime(2026, 1, 1, tzinfo=UTC)))),
)
worker_settings = st.builds(
    Settings, workers=st.integers(0, 64), redis_url=words, domain=st.none() | words, shutdown_grace_s=st.floats(0, 3600)
)
parents: dict[Any, st.SearchStrategy[Any]] = {
    Start: st.builds(
        Start, number=counts, workers=counts, column=counts, rows=counts, settings=worker_settings, handover=words
    ),
    ApplyTable: st.builds(ApplyTable, sequence=counts, table=tables, rows=mapped(ids, counts)),
    Listen: st.builds(Listen, sequence=counts, own_port=st.none() | st.integers(1, 65535)),
    Unlisten: st.builds(Unlisten, sequence=counts, own_port=st.integers(1, 65535)),
    Synced: st.builds(Synced, sequence=counts),
    Drain: st.builds(Drain, grace_s=seconds),
}
workers: dict[Any, st.SearchStrategy[Any]] = {
    Report: st.builds(Report, sequence=counts, snapshot=snapshots, stats=deltas, usage=several(usages)),
    Leaving: st.builds(Leaving),
}
directions: list[tuple[Codec[Any], Any, dict[Any, st.SearchStrategy[Any]]]] = [
    (PARENT_MESSAGES, ParentMessage, parents),
    (WORKER_MESSAGES, WorkerMessage, workers),
]
kinds = [(codec, kind, made) for codec, union, known in directions for kind, made in known.items()]


def test_every_kind_of_message_is_tried_here() -> None:
    for _, union, known in directions:
        assert set(get_args(get_args(union)[0])) == set(known)
    assert {one for one in vars(messages).values() if isinstance(one, type) and issubclass(one, ControlMessage)} == {
        ControlMessage,
        *parents,
        *workers,
    }


@pytest.mark.parametrize(("codec", "kind", "made"), kinds)
@settings(max_examples=examples(30))
@given(data=st.data())
def test_what_was_sent_is_what_comes(
    codec: Codec[Any], kind: type[ControlMessage], made: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    sent = data.draw(made)
    came = codec.decode(codec.encode(sent), kind.descriptors.start)
    assert type(came) is kind
    assert came == sent


@pytest.mark.parametrize(("codec", "kind", "made"), kinds)
@settings(max_examples=examples(30))
@given(data=st.data())
def test_a_message_that_is_cut_off_is_refused_by_name(
    codec: Codec[Any], kind: type[ControlMessage], made: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    content = codec.encode(data.draw(made))
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(InvalidMessageError, match="EOF while parsing"):
        codec.decode(cut, kind.descriptors.start)


@pytest.mark.parametrize(("codec", "kind", "made"), kinds)
@settings(max_examples=examples(30))
@given(data=st.data())
def test_a_field_that_is_missing_or_unknown_or_of_another_type_is_refused_by_its_name(
    codec: Codec[Any], kind: type[ControlMessage], made: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    content = json.loads(codec.encode(data.draw(made)))
    name = data.draw(st.sampled_from(sorted(content.keys() - {"kind"}) or ["new"]))
    wrong = [content | {"new": 1}]
    if name in content:
        wrong += [{key: value for key, value in content.items() if key != name}, content | {name: [[]]}]
    for bad in wrong:
        with pytest.raises(InvalidMessageError, match="new" if "new" in bad else name):
            codec.decode(json.dumps(bad).encode(), kind.descriptors.start)


@pytest.mark.parametrize(("codec", "kind", "made"), kinds)
@settings(max_examples=examples(30))
@given(data=st.data())
def test_descriptors_that_are_not_its_own_are_refused(
    codec: Codec[Any], kind: type[ControlMessage], made: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    content = codec.encode(data.draw(made))
    number = data.draw(st.sampled_from([n for n in range(MAX_DESCRIPTORS + 6) if n not in kind.descriptors]))
    with pytest.raises(InvalidMessageError, match=f"{kind.__name__} with {number} descriptors; allowed: "):
        codec.decode(content, number)


def test_an_unknown_kind_is_refused_by_its_name_and_says_which_are_allowed() -> None:
    with pytest.raises(UnknownMessageError, match=r"'tabel'; allowed: 'start', 'apply-table', "):
        PARENT_MESSAGES.decode(b'{"kind": "tabel"}')
    with pytest.raises(UnknownMessageError, match="'leaving'; allowed: 'start'"):
        PARENT_MESSAGES.decode(WORKER_MESSAGES.encode(Leaving()))
    with pytest.raises(UnknownMessageError, match="without its kind"):
        WORKER_MESSAGES.decode(b'{"ready": true}')


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | words, st.lists).map(repr).map(str.encode))
def test_what_is_no_message_is_refused(content: bytes) -> None:
    with pytest.raises(ChannelError):
        WORKER_MESSAGES.decode(content)


def test_a_refusal_never_has_a_secret_in_it() -> None:
    start = json.loads(PARENT_MESSAGES.encode(a_start(redis_url="redis://:s3cret@127.0.0.1/0")))
    assert "s3cret" in start["settings"]["redis_url"]
    start["settings"] |= {"workers": "s3cret-too", "wrokers": 1}
    with pytest.raises(InvalidMessageError) as refused:
        PARENT_MESSAGES.decode(json.dumps(start).encode(), 2)
    assert "workers" in str(refused.value)
    assert "s3cret" not in f"{refused.value} {refused.value.__cause__}"
    assert "s3cret" not in repr(a_start(redis_url="redis://:s3cret@127.0.0.1/0"))


def a_start(**more: Any) -> Start:
    return Start(number=0, workers=2, column=1, rows=8, settings=Settings(**more), handover="")


def test_a_worker_has_the_settings_of_its_parent_and_not_the_bus() -> None:
    sent = a_start(
        redis_url="redis://:s3cret@127.0.0.1/0",
        nats_password="bus-password",
        nats_user="me",
        workers=3,
        trusted_peers=["10.0.0.0/8"],
    )
    content = PARENT_MESSAGES.encode(sent)
    assert "bus-password" not in content.decode()
    came = PARENT_MESSAGES.decode(content, 2)
    assert isinstance(came, Start)
    bus = {"nats_password": came.settings.nats_password, "nats_user": came.settings.nats_user}
    assert came.settings == sent.settings.model_copy(update=bus)
    assert came.settings.nats_password.get_secret_value() == ""


def test_a_table_goes_within_its_message_and_not_as_text_within_text() -> None:
    sent = table(routes=(route(1),))
    content = PARENT_MESSAGES.encode(ApplyTable(sequence=1, table=sent, rows={}))
    assert sent.encode().decode() in content.decode()


@pytest.mark.parametrize("kind", [*parents, *workers])
def test_no_field_is_optional(kind: Any) -> None:
    optional = {one.name for one in fields(kind) if not (one.default is MISSING and one.default_factory is MISSING)}
    assert optional == {"kind"}
