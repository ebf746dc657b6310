"""Changes that change nothing, restarts, retries after a corrected file, and folders that older revisions need."""

from __future__ import annotations

from typing import Any

from tests.integration.manager.test_api_services import DEFINITION
from tests.support.worlds.manager_api import ManagerApi


async def create(api: ManagerApi) -> Any:
    return await api.admin.call("POST", "/v1/services", {"name": "chat", "runtime": "cmd", "image": "img"})


async def current(api: ManagerApi) -> Any:
    return await api.pool.fetchval("select revision_id from services where name = 'chat'")


async def test_an_update_that_changes_nothing_makes_no_revision_and_says_so(api: ManagerApi) -> None:
    await create(api)
    before = await current(api)
    seen = await api.admin.call(
        "PATCH", "/v1/services/chat", {"spec": {"runtime": "cmd", "image": "img"}, "description": "new"}
    )
    assert (seen["revision"], seen["description"]) == (1, "new")
    assert seen["note"]["code"] == "unchanged"
    assert "no replica is replaced" in seen["note"]["text"]
    assert await current(api) == before
    changed = await api.admin.call("PATCH", "/v1/services/chat", {"spec": {"runtime": "cmd", "image": "other"}})
    assert (changed["revision"], changed["note"]) == (2, None)


async def test_a_rollback_to_what_runs_replaces_nothing(api: ManagerApi) -> None:
    await create(api)
    seen = await api.admin.call("POST", "/v1/services/chat/rollback", {"revision": 1})
    assert (seen["revision"], seen["note"]["code"]) == (1, "unchanged")


async def test_a_rollback_to_the_revision_that_serves_after_a_failed_rollout_replaces_nothing(api: ManagerApi) -> None:
    await create(api)
    first = await current(api)
    await api.admin.call("PATCH", "/v1/services/chat", {"spec": {"runtime": "cmd", "image": "bad"}})
    await api.pool.execute("update services set served_revision_id = $1, failed_starts = 5", first)
    seen = await api.admin.call("POST", "/v1/services/chat/rollback", {"revision": 1})
    assert (seen["revision"], seen["note"]["code"]) == (1, "unchanged")
    assert await current(api) == first
    assert await api.pool.fetchval("select failed_starts from services") == 0


async def test_restart_is_the_same_revision_under_a_new_number(api: ManagerApi) -> None:
    await create(api)
    seen = await api.admin.call("POST", "/v1/services/chat/restart")
    assert seen["revision"] == 2
    revisions = await api.pool.fetch("select resolved from revisions order by number")
    assert revisions[0]["resolved"] == revisions[1]["resolved"]
    history = (await api.admin.call("GET", "/v1/services/chat/history"))["items"]
    assert history[0]["action"] == "service.restarted"
    await api.admin.call("POST", "/v1/services/chat/stop")
    refused = await api.admin.call("POST", "/v1/services/chat/restart", expect=409)
    assert refused["detail"] == "service chat is stopped; start it instead"


async def test_a_retry_reads_the_definition_again_and_takes_what_was_corrected(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {"model-definition.yaml": DEFINITION})
    await api.admin.call(
        "POST", "/v1/services", {"name": "chat", "folder": "m", "image": "img", "slots": {"cpu": 1, "mem": "1g"}}
    )
    await api.pool.execute("update services set failed_starts = 5")
    same = await api.admin.call("POST", "/v1/services/chat/retry")
    assert (same["revision"], same["note"]) == (1, None)
    corrected = DEFINITION.replace("http.server 8000", "http.server --corrected 8000")
    await api.admin.upload(folder, "model-definition.yaml", corrected.encode())
    healthy = await api.admin.call("POST", "/v1/services/chat/retry")
    assert healthy["revision"] == 1, "nothing has failed"
    await api.pool.execute("update services set failed_starts = 5")
    seen = await api.admin.call("POST", "/v1/services/chat/retry")
    assert (seen["revision"], seen["note"]["code"]) == (2, "definition-read-again")
    assert "--corrected" in str(await api.pool.fetchval("select resolved from revisions where number = 2"))
    await api.admin.upload(folder, "model-definition.yaml", b"models: 7")
    await api.pool.execute("update services set failed_starts = 5")
    refused = await api.admin.call("POST", "/v1/services/chat/retry", expect=422)
    assert refused["file"] == "model-definition.yaml"


async def test_a_folder_that_an_older_revision_needs_is_deleted_only_with_force_and_then_named(api: ManagerApi) -> None:
    await api.admin.folder("m", {"model-definition.yaml": DEFINITION})
    await api.admin.call(
        "POST", "/v1/services", {"name": "chat", "folder": "m", "image": "img", "slots": {"cpu": 1, "mem": "1g"}}
    )
    await api.admin.call("PATCH", "/v1/services/chat", {"spec": {"runtime": "cmd", "image": "img"}})
    refused = await api.admin.call("DELETE", "/v1/folders/m", expect=409)
    assert "chat (revision 1)" in refused["detail"]
    await api.admin.call("DELETE", "/v1/folders/m?force=true", expect=204)
    problem = await api.admin.call("POST", "/v1/services/chat/rollback", {"revision": 1}, expect=409)
    assert problem["detail"] == "folder m was deleted, and this revision needs it; nothing has changed"


async def test_a_folder_of_the_revision_that_serves_stays_whatever_is_said(api: ManagerApi) -> None:
    await api.admin.folder("m", {"model-definition.yaml": DEFINITION})
    await api.admin.call(
        "POST", "/v1/services", {"name": "chat", "folder": "m", "image": "img", "slots": {"cpu": 1, "mem": "1g"}}
    )
    await api.pool.execute("update services set served_revision_id = revision_id")
    await api.admin.call("PATCH", "/v1/services/chat", {"spec": {"runtime": "cmd", "image": "img"}})
    await api.admin.call("DELETE", "/v1/folders/m?force=true", expect=409)


async def test_an_update_notes_the_revision_before_it_as_the_one_that_served_if_only_that_serves(
    api: ManagerApi,
) -> None:
    async def served() -> Any:
        return (await api.admin.call("GET", "/v1/services/chat"))["served_revision"]

    async def update(image: str) -> None:
        await api.admin.call("PATCH", "/v1/services/chat", {"spec": {"runtime": "cmd", "image": image}})

    await create(api)
    await update("second")
    assert await served() is None  # nothing served
    healthy, _ = await api.runs("chat")
    await update("third")
    assert await served() == 2  # though no pass has seen it
    await api.runs("chat")
    await update("fourth")
    assert await served() == 2  # beside the one before
    await api.ends(healthy)
    await api.pool.execute("update agents set lost_at = now()")
    await update("fifth")
    assert await served() == 2  # its machine is silent
