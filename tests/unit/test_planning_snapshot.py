"""From a route and what is seen of its backends to what routers know."""

from typing import Any

import pytest

from modelroute.planning.observed import Observed
from modelroute.planning.routing.snapshot import image_tag, snapshot_of
from modelroute.snapshot import types as s
from tests.fakes import world
from tests.fakes.manifests import HOSTED, VLLM, hosted

SEEN: Any = {
    "services": {"legacy": world.LEGACY},
    "slices": {"legacy": (world.pods("10.1.0.1", name="web", port=8080), world.pods("10.1.0.2", name="metrics"))},
}


def backend(spec: dict[str, Any], **seen: Any) -> s.Backend:
    """The only backend of a route, as routers know it."""
    [found] = world.planned(world.route(backends=[spec]), Observed(**seen)).snapshot.backends
    return found


class TestVLLM:
    def test_ready_pods_are_its_endpoints_in_their_order(self) -> None:
        assert backend(VLLM, slices=world.ready("10.0.0.2", "10.0.0.1")).endpoints == ("10.0.0.1:8000", "10.0.0.2:8000")

    def test_a_pod_with_two_families_is_one_endpoint(self) -> None:
        slices = (world.pods("fd00::1", family="IPv6"), world.pods("10.0.0.1"))
        assert backend(VLLM, slices={"chat--small": slices}).endpoints == ("10.0.0.1:8000",)

    def test_an_address_of_the_newer_family_is_bracketed(self) -> None:
        slices = (world.pods("fd00::1", family="IPv6"),)
        assert backend(VLLM, slices={"chat--small": slices}).endpoints == ("[fd00::1]:8000",)

    def test_someone_elses_service_is_not_asked(self) -> None:
        found = backend(VLLM, slices=world.ready("10.0.0.1"), foreign=("Service/chat--small",))
        assert found.endpoints == ()

    def test_it_is_asked_by_its_own_name_so_that_other_weights_can_roll_in(self) -> None:
        assert (backend(VLLM).model, backend(VLLM | {"model": "qwen"}).model) == ("small", "qwen")

    def test_its_version_tells_one_image_from_another(self) -> None:
        assert backend(VLLM | {"vllm": {"model": "m", "image": "x/y:v2"}}).version == "m@v2"


class TestService:
    def test_its_port_is_that_of_its_pods(self) -> None:
        assert backend(world.BEHIND, **SEEN).endpoints == ("10.1.0.1:8080",)

    def test_a_port_may_have_no_name(self) -> None:
        slices = {"legacy": (world.pods("10.1.0.1", name="", port=8080),)}
        services = {"legacy": {"spec": {"ports": [{"port": 80}]}}}
        assert backend(world.BEHIND, services=services, slices=slices).endpoints == ("10.1.0.1:8080",)

    @pytest.mark.parametrize("services", [{}, {"legacy": {"spec": {}}}])
    def test_a_missing_service_or_port_has_no_endpoint(self, services: dict[str, Any]) -> None:
        assert backend(world.BEHIND, services=services, slices=SEEN["slices"]).endpoints == ()


class TestExternal:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://api.example.com/v1", ("api.example.com:443", True, "api.example.com", "/v1")),
            ("https://api.example.com/", ("api.example.com:443", True, "api.example.com", "")),
            ("https://api.example.com:8443/a/v1/", ("api.example.com:8443", True, "api.example.com", "/a/v1")),
            ("http://svc.demo.svc/v1", ("svc.demo.svc:80", False, "svc.demo.svc", "/v1")),
        ],
    )
    def test_its_url_is_taken_apart(self, url: str, expected: tuple[str, bool, str, str]) -> None:
        [spec] = hosted(url)["backends"]
        found = backend(spec)
        assert (found.endpoints, found.tls, found.host, found.prefix) == ((expected[0],), *expected[1:])

    def test_its_key_is_a_file(self) -> None:
        assert backend(world.KEYED).secret_file == "big/key"

    def test_without_its_key_it_gets_nothing(self) -> None:
        keys: dict[str, frozenset[str] | None] = {"openai": frozenset({"other"})}
        assert (backend(world.KEYED).endpoints, backend(world.KEYED, secrets=keys).endpoints) == ((), ())

    def test_with_its_key_it_gets_requests(self) -> None:
        assert backend(world.KEYED, secrets={"openai": frozenset({"api-key"})}).endpoints == ("api.example.com:443",)

    def test_what_the_client_asked_for_is_passed_on(self) -> None:
        assert (backend(HOSTED).model, backend(HOSTED).version) == (None, "")

    def test_this_machine_is_out_of_bounds_in_a_cluster(self) -> None:
        alone = snapshot_of(world.route(backends=[HOSTED]), {}, loopback_allowed=True)
        assert (backend(HOSTED).loopback_allowed, alone.backends[0].loopback_allowed) == (False, True)


class TestSettings:
    def test_durations_are_seconds(self) -> None:
        timeouts = {"connect": "500ms", "firstToken": "5s", "streamIdle": "1m30s"}
        assert backend(HOSTED | {"timeouts": timeouts}).timeouts == s.Timeouts(0.5, 5.0, 5.0, 90.0)
        assert backend(HOSTED | {"timeouts": {"total": "2m"}}).timeouts.total == 120.0

    def test_an_answer_that_is_made_whole_may_take_longer(self) -> None:
        assert backend(HOSTED).timeouts == s.Timeouts(1.0, 60.0, 600.0, 60.0)

    def test_parameters_are_numbers(self) -> None:
        parameters = {"systemPrompt": "x", "maxTokens": {"max": 9}, "temperature": {"default": "0", "max": "0.5"}}
        found = backend(HOSTED | {"parameters": parameters}).parameters
        assert found == s.Parameters("x", None, 9, 0.0, 0.5)

    def test_what_is_not_said_is_as_the_snapshot_has_it_by_default(self) -> None:
        found = backend(VLLM)
        by_default = s.Backend(name="small", weight=1, timeouts=found.timeouts, model="small", version=found.version)
        assert found == by_default
        assert world.planned(world.route()).snapshot.retry == s.Retry()

    def test_balancing_limits_and_cold_starts_are_passed_on(self) -> None:
        spec = {
            "loadBalancing": {"type": "Session", "prefixChars": 9, "boundPercent": 150, "slowStart": "1m"},
            "limits": {"maxInFlight": 8, "maxWaiting": 5, "maxWait": "3s"},
            "coldStart": {"policy": "Hold", "maxWait": "5m", "maxHeld": 7},
        }
        found = backend(VLLM | spec)
        assert found.balancing == s.Balancing("Session", 9, 150, 60.0)
        assert (found.limits, found.cold_start) == (s.Limits(8, 5, 3.0), s.ColdStart("Hold", 300.0, 7))

    def test_ejection_is_passed_on(self) -> None:
        health = {
            "consecutiveFailures": 3,
            "successPercent": 80,
            "ejection": "2s",
            "maxEjection": "1m",
            "maxEjectedPercent": 25,
            "interval": "5s",
            "path": "/ping",
        }
        expected = s.Health(3, 80, ejection=2.0, max_ejection=60.0, max_ejected_percent=25, interval=5.0, path="/ping")
        assert backend(VLLM | {"health": health}).health == expected

    @pytest.mark.parametrize(
        ("spec", "asked", "probe"),
        [
            (VLLM, {}, ("/health", 10.0)),
            (world.BEHIND, {}, ("/v1/models", 10.0)),
            (HOSTED, {}, ("", 0.0)),
            (HOSTED, {"path": "/up", "interval": "1m"}, ("/up", 60.0)),
            (VLLM, {"path": ""}, ("", 0.0)),
            (VLLM, {"interval": "0s"}, ("/health", 0.0)),
        ],
    )
    def test_a_probe_suits_the_kind_of_backend(self, spec: Any, asked: Any, probe: tuple[str, float]) -> None:
        found = backend(spec | {"health": asked}).health
        assert (found.path, found.interval) == probe

    def test_what_leaves_the_house_is_marked(self) -> None:
        assert [backend(b).data_policy for b in (VLLM, world.BEHIND, HOSTED)] == ["Internal", "Internal", "External"]
        assert backend(HOSTED | {"dataPolicy": "Internal"}).data_policy == "Internal"

    def test_what_a_rule_keeps_away_is_passed_on(self) -> None:
        rule = {"name": "a", "when": {"minChars": 1}, "exclude": ["big"], "failClosed": True}
        [found] = world.planned(world.route(rules=[rule])).snapshot.rules
        assert found == s.Rule("a", s.When(min_chars=1), (), ("big",), fail_closed=True)

    def test_what_holds_for_the_route_is_passed_on(self) -> None:
        retry = {"attempts": 5, "backoff": {"min": "500ms", "max": "2s"}, "budgetPercent": 50}
        found = world.planned(world.route(retry=retry, timeouts={"total": "10m"})).snapshot
        assert (found.retry, found.total) == (s.Retry(5, 0.5, 2.0, 50), 600.0)

    @pytest.mark.parametrize("secrets", [{}, {"keys": None}])
    def test_with_clients_keys_nobody_is_let_in_without_even_if_they_are_missing(self, secrets: Any) -> None:
        asked = world.route(router={"auth": {"apiKeysSecretRef": {"name": "keys"}}})
        found = world.planned(asked, Observed(secrets=secrets)).snapshot
        assert found.auth == s.Auth("auth/keys.yaml", "auth/pepper")
        assert world.planned(world.route()).snapshot.auth is None

    def test_header_names_are_in_lower_case(self) -> None:
        found = world.planned(
            world.route(
                rules=[{"name": "a", "when": {"headers": {"X-Team": "A"}}, "prefer": ["big"]}],
                router={"auth": {"trustedHeaders": {"user": "X-User", "tier": "X-Tier"}}},
            )
        ).snapshot
        assert (found.rules[0].when.headers, found.user_header, found.tier_header) == (
            {"x-team": "A"},
            "x-user",
            "x-tier",
        )

    def test_the_canary_and_the_fallbacks_are_passed_on(self) -> None:
        canary = {"backend": "big", "percent": 5, "baseline": "small", "allow": ["u"]}
        found = world.planned(
            world.route(canary=canary, fallbacks=[{"backend": "big", "failures": ["Timeout"]}])
        ).snapshot
        assert found.canary == s.Canary("big", 5, "small", ("u",))
        assert found.fallbacks == (s.Fallback("big", ("Timeout",)),)


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("vllm/vllm-openai:v0.33.0", "v0.33.0"),
        ("host:5000/vllm", "latest"),
        ("host:5000/vllm:v1", "v1"),
        ("vllm@sha256:0123456789abcdef", "sha256:0123456789ab"),
        ("vllm:v1@sha256:0123456789abcdef", "v1"),
    ],
)
def test_an_image_is_told_by_its_tag(image: str, tag: str) -> None:
    assert image_tag(image) == tag
