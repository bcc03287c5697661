"""The Secret, the configurations and what is served: agreed between replicas, put back when someone takes it away."""

import asyncio
import base64
from typing import Any

import pytest

from modelroute.controller.kube.calls import ApiError, Call
from modelroute.controller.kube.kinds import MUTATING, SECRET, VALIDATING, WEBHOOK_CONFIGURATIONS, Kind
from modelroute.controller.webhooks import certificates
from modelroute.controller.webhooks.keeper import CONFIGURATION, NAME, Keeper
from tests.fakes.kube import FakeCluster, KubeObject

DAY = 86400.0
BORN = 1_800_000_000.0


class Kube(FakeCluster):
    """Keeps a Secret by its version, and configurations."""

    def __init__(self) -> None:
        super().__init__()
        self.before_write: list[KubeObject] = []  # what another replica writes just before we do
        for kind in WEBHOOK_CONFIGURATIONS:
            hooks = [{"name": "one", "clientConfig": {}}, {"name": "two", "clientConfig": {}}]
            self.keep(kind, {"metadata": {"name": CONFIGURATION}, "webhooks": hooks})

    def secret(self) -> dict[str, str]:
        found: dict[str, str] = self.objects[SECRET.name, NAME]["data"]
        return found

    def bundles(self) -> set[str]:
        found = [self.objects[kind.name, CONFIGURATION] for kind in WEBHOOK_CONFIGURATIONS]
        return {hook["clientConfig"].get("caBundle", "") for o in found for hook in o["webhooks"]}

    def _outrun(self) -> None:
        while self.before_write:
            self.keep(SECRET, self.before_write.pop())

    async def create(self, kind: Kind, desired: KubeObject) -> KubeObject:
        self._outrun()
        self._note("create", kind, desired["metadata"]["name"])
        if (kind.name, NAME) in self.objects:
            raise ApiError(Call("create", kind, "home", NAME), 409, "is there")
        return self.keep(kind, desired)

    async def merge(self, kind: Kind, namespace: str | None, name: str, change: KubeObject) -> None:
        self._outrun()
        self._note("patch", kind, name)
        live = self.objects[kind.name, name]
        if live["metadata"]["resourceVersion"] != change["metadata"]["resourceVersion"]:
            raise ApiError(Call("patch", kind, namespace, name), 409, "is another")
        self.keep(kind, live | {"data": live["data"] | change["data"]})

    async def edit(self, kind: Kind, namespace: str | None, name: str, change: list[KubeObject]) -> None:  # noqa: ARG002
        self._note("patch", kind, name)
        live = self.objects[kind.name, name]
        for step in change:
            _, _, index, *path = step["path"].split("/")
            hook = live["webhooks"][int(index)]
            if step["op"] == "test":
                assert hook["name"] == step["value"]
            else:
                assert path == ["clientConfig", "caBundle"]
                hook["clientConfig"]["caBundle"] = step["value"]
        self.keep(kind, live)


class World:
    """Replicas that look when a test says so, at times that it sets."""

    def __init__(self, replicas: int = 1) -> None:
        self.cluster = Kube()
        self.now = BORN
        self.replicas = [Keeper(self.cluster, "home", lambda: self.now) for _ in range(replicas)]

    def look(self, which: int = 0) -> bool:
        self.cluster.writes.clear()
        return asyncio.run(self.replicas[which].look())

    def served(self, which: int = 0) -> Any:
        held = self.replicas[which]._held
        assert held is not None
        return held.serving


def encoded(bundle: bytes) -> str:
    return base64.b64encode(bundle).decode()


def test_at_first_all_is_made_and_told() -> None:
    world = World()
    assert world.look() is True
    held = certificates.read(world.cluster.secret())
    assert held is not None
    assert world.cluster.bundles() == {encoded(held.bundle)}
    assert world.replicas[0].ready.is_set()


def test_at_rest_nothing_is_written() -> None:
    world = World()
    world.look()
    assert world.look() is True
    assert world.cluster.writes == []


def test_a_second_replica_serves_the_same() -> None:
    world = World(2)
    world.look(0)
    world.look(1)
    assert world.cluster.writes == []
    assert world.served(1) == world.served(0)


def test_of_two_that_make_it_at_once_one_reads_what_the_other_wrote() -> None:
    world = World(2)
    other = certificates.data(certificates.made(("localhost",), BORN))
    world.cluster.before_write = [{"metadata": {"name": NAME}, "data": other}]
    assert world.look() is False
    assert world.cluster.secret() == other
    assert not world.replicas[0].ready.is_set()
    assert world.look() is True


def test_of_two_that_renew_it_at_once_one_reads_what_the_other_wrote() -> None:
    world = World()
    world.look()
    newer = World()
    newer.now = BORN + 10 * DAY
    newer.look()
    world.now = BORN + 46 * DAY
    world.cluster.before_write = [{"metadata": {"name": NAME}, "data": newer.cluster.secret()}]
    assert world.look() is False
    assert world.look() is True
    assert world.served() == newer.served()


@pytest.mark.parametrize("kind", WEBHOOK_CONFIGURATIONS, ids=lambda k: k.name)
def test_a_bundle_that_is_taken_away_is_put_back(kind: Kind) -> None:
    world = World()
    world.look()
    world.cluster.objects[kind.name, CONFIGURATION]["webhooks"][1]["clientConfig"] = {}
    world.look()
    assert world.cluster.writes == [f"patch {kind.name}/{CONFIGURATION}"]
    assert len(world.cluster.bundles()) == 1


def test_a_secret_that_is_taken_away_is_made_again_as_it_was() -> None:
    world = World()
    world.look()
    before = world.cluster.secret()
    del world.cluster.objects[SECRET.name, NAME]
    world.look()
    assert world.cluster.secret() == before


@pytest.mark.parametrize("damage", [{"tls.key": ""}, {"ca.crt": "!"}])
def test_a_secret_that_is_damaged_is_mended(damage: dict[str, str]) -> None:
    world = World()
    world.look()
    before = world.cluster.secret()
    world.cluster.objects[SECRET.name, NAME]["data"] = before | damage
    world.look()
    assert world.cluster.secret() == before


def test_what_others_put_beside_it_is_left_alone() -> None:
    world = World()
    world.look()
    world.cluster.objects[SECRET.name, NAME]["data"]["note"] = "eA=="
    world.look()
    assert world.cluster.writes == []


def test_where_there_are_no_configurations_there_is_nothing_to_tell() -> None:
    world = World()
    for kind in (VALIDATING, MUTATING):
        del world.cluster.objects[kind.name, CONFIGURATION]
    assert world.look() is True


def test_o17_an_authority_does_not_sign_while_a_configuration_cannot_be_told() -> None:
    world = World()
    world.look()
    world.now = BORN + 330 * DAY
    world.look()
    served = world.served()
    world.now = BORN + 366 * DAY
    world.cluster.deny("patch", MUTATING, CONFIGURATION, 403)
    for _ in range(3):
        with pytest.raises(ApiError):
            world.look()
        world.now += DAY
    assert world.served() == served
    world.cluster.refuse.clear()
    world.look()
    world.look()
    assert world.served() != served


def test_a_loop_that_meets_trouble_goes_on(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    outcomes = [ApiError(Call("get", SECRET, "home", NAME), 0, "down"), RuntimeError("odd"), None]

    async def look() -> bool:
        outcome = outcomes.pop(0)
        if outcome is None:
            raise asyncio.CancelledError
        raise outcome

    async def at_once(seconds: float) -> None:
        assert 0 < seconds <= 2

    monkeypatch.setattr(world.replicas[0], "look", look)
    monkeypatch.setattr(asyncio, "sleep", at_once)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(world.replicas[0].run())
    assert outcomes == []
    assert "down" in caplog.text


def test_no_key_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    world = World()
    world.look()
    secrets = [base64.b64decode(world.cluster.secret()[name]).decode() for name in ("ca.key", "tls.key")]
    lines = [line for secret in secrets for line in secret.splitlines() if "-----" not in line]
    assert [line for line in lines if line in caplog.text] == []
