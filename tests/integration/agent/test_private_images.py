"""Private images: the engine pulls one with the login that a plan has, and with no other."""

from __future__ import annotations

from uuid import uuid4

import pytest

from headrace.agent.runtime.docker.engine import Engine
from headrace.agent.runtime.docker.images import Images
from headrace.agent.runtime.docker.registries import RegistryAllowList
from headrace.agent.runtime.interface import StartRefused
from headrace.common.contracts.messages.plans import RegistryLogin
from tests.integration.agent.containers import docker
from tests.support.ports import free_port
from tests.support.registry import private_registry

pytestmark = pytest.mark.docker


async def test_a_private_image_is_pulled_with_its_login_only(bare: str) -> None:
    async with (
        private_registry(free_port(), bare, login="robot:pass:word") as registry,
        Engine.open("unix:///var/run/docker.sock", timeout_s=60) as engine,
    ):
        image = f"{registry.name}/agent-test/private:{uuid4().hex[:8]}"
        images = Images(engine, RegistryAllowList((registry.name,), only_listed=True), pull_timeout_s=60)
        for login in (None, RegistryLogin(user="robot", password="wrong")):
            with pytest.raises(StartRefused) as refused:
                await images.ensure(image, lambda _: None, login)
            assert refused.value.reason.code == "image-pull-failed"
            assert "wrong" not in refused.value.reason.text
        try:
            await images.ensure(image, lambda _: None, RegistryLogin(user="robot", password="pass:word"))
            asked = len(registry.asked)
            await images.ensure(image, lambda _: None)
            assert len(registry.asked) == asked, "one that is there is not pulled"
        finally:
            docker("image", "rm", "-f", image)
