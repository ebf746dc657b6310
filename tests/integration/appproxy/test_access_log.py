"""What the access log leaves out is said although nothing more is logged."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs

from tests.support.wait import eventually
from tests.support.worlds.appproxy import running


async def test_failures_beyond_the_bound_are_counted_while_it_runs_and_at_its_end(tmp_path: Path) -> None:
    with capture_logs() as said:

        def counted() -> tuple[int, int]:
            left_out = sum(line["failed"] for line in said if line["event"] == "requests_not_logged")
            return left_out, left_out + sum(line["event"] == "request_ended" for line in said)

        async with running(tmp_path, error_log_lines_per_s=1) as world:
            for _ in range(20):
                assert (await world.http.get(f"{world.url}/nobody/x")).status_code == 404
            await eventually(lambda: counted()[1] == 20)
            assert counted()[0] > 0
            for _ in range(20):
                await world.http.get(f"{world.url}/nobody/x")
    assert counted()[1] == 40


async def test_the_bytes_of_the_proxy_s_own_replies_are_in_the_log(tmp_path: Path) -> None:
    """A refusal, one to HEAD (which has no content), and the list of models."""
    with capture_logs() as said:
        async with running(tmp_path, access_log_share=1.0) as world:
            refused = await world.http.get(f"{world.url}/nobody/x")
            await world.http.head(f"{world.url}/nobody/x")
            models = await world.http.get(f"{world.url}/v1/models")
            await eventually(lambda: sum(line["event"] == "request_ended" for line in said) == 3)
    sent = [line["bytes_sent"] for line in said if line["event"] == "request_ended"]
    assert sent == [len(refused.content), 0, len(models.content)]
    assert min(sent[0], sent[2]) > 0
