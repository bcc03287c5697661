"""Which Secrets a change lets out: those that are newly named, or that go to another place than before."""

from typing import Any

import pytest

from modelroute.planning.admission import exposure
from modelroute.planning.admission.exposure import Exposure, exposed
from tests.fakes import world
from tests.fakes.manifests import HOSTED, VLLM

PATH = "spec.backends[0].external.apiKeySecretRef"


def keyed(url: str = "https://api.example.com/v1", **ref: str) -> dict[str, Any]:
    return {"name": "big", "external": {"baseURL": url, "apiKeySecretRef": {"name": "openai", **ref}}}


def change(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> tuple[Exposure, ...]:
    return exposed(world.route(backends=before), world.route(backends=after))


def test_of_a_new_route_every_secret_is_let_out() -> None:
    router = {"auth": {"apiKeysSecretRef": {"name": "keys"}}, "tls": {"secretRef": {"name": "cert"}}}
    assert exposed(None, world.route(backends=[keyed()], router=router)) == (
        Exposure(PATH, "openai"),
        Exposure("spec.router.auth.apiKeysSecretRef", "keys"),
        Exposure("spec.router.tls.secretRef", "cert"),
    )


def test_a_secret_that_two_fields_name_is_asked_of_once() -> None:
    twice = world.route(backends=[keyed(), keyed() | {"name": "other"}])
    assert exposed(None, twice) == (Exposure(PATH, "openai"),)


@pytest.mark.parametrize(
    "after",
    [keyed("https://evil.example/v1"), keyed("https://api.example.com/v2"), keyed(key="admin"), keyed(name="other")],
    ids=["another host", "another path", "another key", "another Secret"],
)
def test_what_goes_elsewhere_is_let_out(after: dict[str, Any]) -> None:
    assert [e.path for e in change([keyed()], [after])] == [PATH]


@pytest.mark.parametrize(
    "after",
    [[keyed()], [keyed() | {"weight": 7}], [keyed() | {"name": "renamed"}], [HOSTED, keyed() | {"name": "second"}]],
    ids=["nothing", "a weight", "a name", "its place"],
)
def test_what_goes_where_it_went_is_not(after: list[dict[str, Any]]) -> None:
    assert change([keyed()], after) == ()


def test_what_is_taken_away_lets_nothing_out() -> None:
    assert change([keyed()], [VLLM]) == ()


TOKEN = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "token", "key": "t"}}}
TEMPLATE: dict[str, Any] = {
    "spec": {
        "imagePullSecrets": [{"name": "registry"}],
        "volumes": [{"name": "v", "secret": {"secretName": "files"}}],
        "containers": [{"env": [TOKEN], "envFrom": [{"secretRef": {"name": "all"}}]}],
    }
}


class TestPrograms:
    """A vllm backend's Secrets are seen by the program that its image, weights and arguments make."""

    def uses(self, **vllm: Any) -> set[tuple[str, str]]:
        """What is found in a backend that has a token and these fields."""
        backend = {"vllm": {"image": "vllm:1", "hubTokenSecretRef": {"name": "hub"}, **vllm}}
        return {(use.secret, use.goes_to) for use, _ in exposure._walk([backend], "spec.backends", "")}

    @pytest.mark.parametrize("change", [{"image": "evil"}, {"model": "evil"}, {"args": ["--trust-remote-code"]}])
    def test_another_program_is_another_place(self, change: dict[str, Any]) -> None:
        assert self.uses(**change) != self.uses()

    def test_another_number_of_gpus_is_not(self) -> None:
        assert self.uses(gpus=2) == self.uses()

    def test_those_that_a_template_names_are_found(self) -> None:
        names = {secret for secret, _ in self.uses(template=TEMPLATE)}
        assert names == {"hub", "registry", "files", "token", "all"}
