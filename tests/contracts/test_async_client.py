"""The SDK's asynchronous client has the calls of the synchronous one."""

from __future__ import annotations

import inspect

from headrace.sdk import AsyncClient, Client
from headrace.sdk.async_calls import AsyncGroup, awaited, iterated


async def test_every_call_of_the_client_has_a_twin() -> None:
    sync = Client("http://127.0.0.1:9", "key")
    async with AsyncClient("http://127.0.0.1:9", "key") as twin:
        nouns = {name for name, group in vars(twin).items() if isinstance(group, AsyncGroup)}
        assert nouns == {name for name in dir(Client) if not name.startswith("_")} - _calls(sync).keys() - {"url"}
        wrong = [
            f"{type(other).__name__}: {name}"
            for group, other in ((sync, twin), *((getattr(sync, noun), getattr(twin, noun)) for noun in nouns))
            for name, method in _calls(group).items()
            if name not in {"another", "close"} and not _is_twin(vars(type(other)).get(name), method)
        ]
        assert not wrong, f"each needs its line in libs/sdk/headrace/sdk/async_client.py: {wrong}"
    sync.close()


def _calls(group: object) -> dict[str, object]:
    return {name: call for name, call in inspect.getmembers(type(group), inspect.isfunction) if name[0] != "_"}


def _is_twin(found: object, method: object) -> bool:
    assert callable(method)
    yields = str(inspect.signature(method).return_annotation).startswith(("Iterator", "LogStream", "EventStream"))
    return isinstance(found, iterated if yields else awaited) and found.method == method
