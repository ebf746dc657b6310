"""The model store: which folders are in it, what a list finds, who sees it, and how it follows the files."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.manager.folders.storage import open_storage
from headrace.manager.loops.definitions import PASS_S, DefinitionsLoop
from headrace.manager.usecases.definition_reader import DefinitionReader
from headrace.manager.usecases.parsing import ParserPool
from tests.support.worlds.manager_api import ManagerApi

MODEL = """
models:
  - name: owl
    model_path: /models
    metadata: {title: Little Owl, task: text-generation, license: MIT, min_resource: {mem: 2g}}
    service: {start_command: [serve, small], port: 8000}
"""
SERVICE = (
    '[custom.environment]\nimage = "example.com/serve:1"\narchitecture = "x86_64"\n[custom.resource_slots]\ncpu = 2\n'
)
BOTH: dict[str, bytes | str] = {"model-definition.yaml": MODEL, "service-definition.toml": SERVICE}


async def read_all(api: ManagerApi, *, ticks: Any = None) -> list[str]:
    """Run one pass of the loop; return what it poked."""
    poked = list[str]()
    with open_storage(api.folders) as storage:
        reader = DefinitionReader(api.pool, storage, ParserPool())
        more = {"monotonic": ticks} if ticks is not None else {}
        await DefinitionsLoop(reader, poked.append, **more).one_pass()
    return poked


async def names(api: ManagerApi, query: str = "") -> list[str]:
    return [item["name"] for item in (await api.admin.call("GET", f"/v1/models{query}"))["items"]]


async def test_a_folder_with_both_files_is_listed_and_shown_and_can_be_run(api: ManagerApi) -> None:
    admin = api.admin
    folder = await admin.folder("owls", BOTH)
    await admin.folder("half", {"model-definition.yaml": MODEL})
    await admin.call("POST", "/v1/folders", {"name": "data", "usage_mode": "data"})
    assert await names(api) == [], "a list reads no file"
    await read_all(api)
    (item,) = (await admin.call("GET", "/v1/models"))["items"]
    assert (item["name"], item["folder_id"], item["project"], item["models"]) == ("owls", folder, "default", ["owl"])
    assert (item["metadata"]["task"], item["metadata"]["license"], item["files"]) == ("text-generation", "MIT", 2)
    assert item["size_bytes"] == len(MODEL) + len(SERVICE)
    assert (item["runtime"], item["image"]) == ("custom", "example.com/serve:1")
    assert item["needs"] == {"cpu": "2", "mem": str(2 * 2**30)}
    assert (item["fit"]["fits"], item["fit"]["reason"]["code"]) == (False, "no-machines")
    shown = await admin.call("GET", f"/v1/models/{folder}")
    assert {**item, "entries": shown["entries"], "sections": shown["sections"]} == shown
    assert shown["entries"][0]["metadata"]["title"] == "Little Owl"
    assert shown["sections"] == [
        {"runtime": "custom", "image": "example.com/serve:1", "architecture": "x86_64", "slots": {"cpu": "2"}}
    ]
    body = {"name": "owls", "folder": shown["folder_id"], "project": shown["project_id"], "runtime": shown["runtime"]}
    made = await admin.call("POST", "/v1/services", {**body, "replicas": 0})
    assert (made["effective"]["model_name"], made["effective"]["slots"]["cpu"]) == ("owl", "2")
    refused = await admin.call("GET", "/v1/models/half", expect=404)
    assert "service-definition.toml" in refused["detail"]


async def test_lists_are_filtered_by_words_task_and_project(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/projects", {"name": "red"})
    await api.admin.folder("owls", BOTH)
    await api.admin.folder(
        "larks", {**BOTH, "model-definition.yaml": MODEL.replace("Little Owl", "Lark 100%")}, project="red"
    )
    await read_all(api)
    assert await names(api) == ["owls", "larks"]
    assert await names(api, "?q=LITTLE") == ["owls"]
    assert await names(api, "?q=lark") == ["larks"], "the folder's name and the title"
    assert await names(api, "?q=100%25") == ["larks"], "no pattern"
    assert await names(api, "?task=Text-Generation&project=red") == ["larks"]
    assert await names(api, "?task=text") == []
    first = await api.admin.call("GET", "/v1/models?limit=1")
    assert [item["name"] for item in first["items"]] == ["owls"]
    assert await names(api, f"?limit=1&cursor={first['next']}") == ["larks"]
    refused = await api.admin.call("GET", "/v1/models?resource_group=gpu", expect=400)
    assert refused["errors"][0]["field"] == "resource_group"


async def test_who_does_not_see_the_folder_does_not_see_the_model(api: ManagerApi) -> None:
    await api.admin.folder("owls", BOTH)
    await read_all(api)
    stranger = await api.user("ann")
    assert (await stranger.call("GET", "/v1/models"))["items"] == []
    await stranger.call("GET", "/v1/models/owls", expect=404)
    await api.admin.call("PUT", "/v1/projects/default/members/ann", {"role": "viewer"})
    assert [item["name"] for item in (await stranger.call("GET", "/v1/models"))["items"]] == ["owls"]
    await stranger.close()


async def test_it_follows_the_files_and_reads_no_folder_that_has_not_changed(api: ManagerApi) -> None:
    admin = api.admin
    folder = await admin.folder("owls", BOTH)
    await read_all(api)
    await admin.upload("owls", "model-definition.yaml", b"models: []")
    shown = await admin.call("GET", "/v1/models/owls")
    assert (shown["runtime"], shown["fit"], shown["entries"]) == (None, None, []), "a model is shown as its files are"
    assert shown["problem"].startswith("model-definition.yaml: ")
    assert await names(api) == ["owls"], "a folder with wrong files is listed with its problem"
    (api.folders / folder / "model-definition.yaml").write_text(MODEL)
    await read_all(api)
    assert (await admin.call("GET", "/v1/models/owls"))["problem"] is not None, "nobody said that it changed"
    await api.pool.execute("update folders set definitions_due_at = now() where id = $1", UUID(folder))
    await read_all(api)
    assert (await admin.call("GET", "/v1/models/owls"))["problem"] is None
    due = await api.pool.fetchval("select definitions_due_at - now() from folders where id = $1", UUID(folder))
    assert timedelta(hours=23) < due < timedelta(hours=25)
    await admin.call("DELETE", "/v1/folders/owls/files/service-definition.toml", expect=204)
    await read_all(api)
    assert await names(api) == []
    await admin.upload("owls", "service-definition.toml", SERVICE.encode())
    await read_all(api)
    assert await names(api) == ["owls"]
    await admin.call("DELETE", "/v1/folders/owls", expect=204)
    assert await names(api) == []
    assert await api.pool.fetchval("select count(*) from store_models") == 0


async def test_a_pass_ends_in_time_and_the_next_one_goes_on(api: ManagerApi) -> None:
    for number in range(3):
        await api.admin.folder(f"f{number}", BOTH)
    now = iter(float(at) * (PASS_S + 1) for at in range(100))
    seen = list[int]()
    for _ in range(4):
        assert await read_all(api, ticks=lambda: next(now)) == (["definitions"] if len(seen) < 3 else [])
        seen.append(len(await names(api)))
    assert seen == [1, 2, 3, 3]


async def test_a_model_fits_in_groups_that_its_project_may_use(api: ManagerApi) -> None:
    call = api.admin.call
    await api.admin.folder("owls", BOTH)
    await read_all(api)
    await api.machine("m-1")
    await api.pool.execute("""update agents set slots = '{"cpu": "8", "mem": "8589934592"}'""")
    await call("POST", "/v1/projects", {"name": "vision"})
    await call("POST", "/v1/resource-groups", {"name": "lab"})
    assert (await call("GET", "/v1/models/owls"))["fit"]["fits"]
    assert (await call("GET", "/v1/models/owls?resource_group=lab"))["fit"]["reason"]["code"] == "other-group"
    await call("PATCH", "/v1/projects/default", {"resource_group": "lab"})
    assert (await call("GET", "/v1/models/owls"))["fit"]["reason"]["code"] == "other-group"
    await call("PATCH", "/v1/resource-groups/lab", {"projects": ["vision"]})
    for path in ("/v1/models/owls?project=default&resource_group=lab", "/v1/models?project=default&resource_group=lab"):
        refused = await call("GET", path, expect=400)
        assert refused["errors"][0]["allowed"] == "one of default, the groups that project default may use"
    for path in ("/v1/models", "/v1/models?resource_group=lab"):
        (item,) = (await call("GET", path))["items"]
        assert item["fit"]["reason"]["code"] == "group-not-allowed"
    (item,) = (await call("GET", "/v1/models?resource_group=default"))["items"]
    assert item["fit"]["fits"]
