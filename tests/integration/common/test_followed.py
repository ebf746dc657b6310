"""Following what a last-value stream holds."""

from __future__ import annotations

from nats.js import JetStreamContext

from headrace.common.bus.connect import Bus
from headrace.common.bus.followed import FollowedStream
from headrace.common.bus.publish import publish_last
from headrace.common.contracts.ids import ProjectId, ServiceId, new_uuid
from headrace.common.contracts.messages.routes import RouteTable


async def test_messages_that_were_taken_out_are_missed_also_after_the_newest_one_was(bus: Bus) -> None:
    services = [ServiceId(new_uuid()) for _ in range(4)]
    for service in services:
        table = RouteTable(service_id=service, generation=1, name="s", project_id=ProjectId(new_uuid()))
        await publish_last(bus, table)
    followed, js = FollowedStream(bus, RouteTable), JetStreamContext(bus.client)
    await followed.look()
    assert followed.held.keys() == {f"route.{service}" for service in services}
    left = dict(enumerate(services, start=1))
    for taken in (4, 1, 3):
        await js.delete_msg("ROUTES", taken)
        del left[taken]
        await followed.look()
        assert {held.sequence: subject for subject, held in followed.held.items()} == {
            sequence: f"route.{service}" for sequence, service in left.items()
        }
