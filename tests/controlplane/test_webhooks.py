"""The API server asks the operator before it keeps a ModelRoute: what is refused, and what is never held up."""

import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelroute.controller.kube.kinds import CONFIG_MAP, MODEL_ROUTE, SECRET, WEBHOOK_CONFIGURATIONS
from tests.controlplane import hooks
from tests.controlplane.plane import BINARIES, HOME, Operator, Plane, until
from tests.controlplane.routes import KEYED, apply, becomes, create, put_secret
from tests.fakes import deploying, timely
from tests.fakes.manifests import HOSTED, MISTAKES, manifest

READ = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["openai"], "verbs": ["get"]}
WHOLE = MODEL_ROUTE.path()
WRONG_SPECS = MISTAKES | timely.MISTAKES | deploying.MISTAKES


def keyed(url: str = "https://api.example.com/v1") -> list[dict[str, Any]]:
    return [{**KEYED, "external": {**KEYED["external"], "baseURL": url}}]


WRONG = {"rules": [{"name": "a", "when": {"minChars": 1}, "prefer": ["nobody"]}]}


def test_a_spec_that_the_crd_lets_through_is_refused_with_its_path(plane: Plane, hooked: str) -> None:
    with hooks.crd_without_rules(plane):
        answer = apply(plane.admin, hooked, backends=[HOSTED], **WRONG)
    assert answer.status_code == 422
    assert 'spec.rules[0].prefer[0]: "nobody" is not a backend of this route (big)' in answer.json()["message"]


def test_sec_the_webhook_alone_refuses_every_mistake_that_the_crd_does(plane: Plane, hooked: str) -> None:
    """A second line, should a CRD of another version be in force."""
    passed, elsewhere = [], []
    with hooks.crd_without_rules(plane):
        for name, mistake in WRONG_SPECS.items():
            given = manifest(namespace=hooked, **mistake.spec)
            answer = plane.admin.ask("POST", MODEL_ROUTE.path(hooked), given, dryRun="All")
            passed += [name] if answer.is_success else []
            elsewhere += [name] if mistake.path not in answer.text else []
    assert (passed, elsewhere) == ([], [])


PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}


@pytest.mark.parametrize("rights", [(hooks.ROUTES,), (hooks.ROUTES, PODS)], ids=["no pods", "pods"])
def test_sec_who_may_not_make_pods_may_not_label_one(plane: Plane, hooked: str, rights: tuple[Any, ...]) -> None:
    labelled = {"name": "small", "vllm": {"model": "m", "template": {"metadata": {"labels": {"app": "payments"}}}}}
    answer = apply(hooks.user(plane, hooked, "dev", *rights), hooked, backends=[labelled])
    if PODS in rights:
        assert answer.is_success, answer.text
    else:
        assert answer.status_code == 403
        told = f"template.metadata.labels.app: you may not create pods in namespace {hooked}"
        assert told in answer.json()["message"]


class TestSecrets:
    def test_sec_who_may_not_read_a_secret_may_not_have_it_sent(self, plane: Plane, hooked: str) -> None:
        put_secret(plane, hooked, token="sk-1")
        answer = apply(hooks.user(plane, hooked, "dev", hooks.ROUTES), hooked, backends=keyed())
        assert answer.status_code == 403
        told = 'spec.backends[0].external.apiKeySecretRef: you may not read Secret "openai" of namespace'
        assert told in answer.json()["message"]

    def test_sec_who_may_read_it_may(self, plane: Plane, hooked: str) -> None:
        put_secret(plane, hooked, token="sk-1")
        answer = apply(hooks.user(plane, hooked, "dev", hooks.ROUTES, READ), hooked, backends=keyed())
        assert answer.is_success, answer.text

    def test_sec_another_host_is_another_question(self, plane: Plane, hooked: str) -> None:
        assert apply(plane.admin, hooked, backends=keyed()).is_success
        dev = hooks.user(plane, hooked, "dev", hooks.ROUTES)
        assert apply(dev, hooked, backends=keyed("https://evil.example/v1")).status_code == 403

    def test_sec_another_change_is_none(self, plane: Plane, hooked: str) -> None:
        assert apply(plane.admin, hooked, backends=keyed()).is_success
        dev = hooks.user(plane, hooked, "dev", hooks.ROUTES)
        answer = apply(dev, hooked, backends=[keyed()[0] | {"weight": 7}])
        assert answer.is_success, answer.text


def kubectl(plane: Plane, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(BINARIES / "kubectl"), f"--kubeconfig={plane.directory / 'kubeconfig'}", *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=60)


def test_kubectl_shows_what_is_risky_and_takes_it(plane: Plane, hooked: str) -> None:
    backend = {"name": "small", "vllm": {"model": "org/small", "args": ["--trust-remote-code"]}}
    text = yaml.safe_dump(manifest(namespace=hooked, backends=[backend]))
    done = kubectl(plane, "apply", "-f", "-", given=text)
    assert (done.returncode, done.stdout) == (0, "modelroute.modelroute.dev/chat created\n")
    assert "Warning: spec.backends[0].vllm.args[0]: --trust-remote-code runs code" in done.stderr


def test_a_large_route_is_compared_and_looked_at(plane: Plane, hooked: str) -> None:
    """The condition that compares specs has a bounded cost; a route near the size limit must be within it."""
    prompts = [HOSTED | {"name": f"b{i}", "parameters": {"systemPrompt": "x" * 32000}} for i in range(27)]
    assert apply(plane.admin, hooked, backends=prompts).is_success
    answer = apply(plane.admin, hooked, backends=[*prompts[:-1], prompts[-1] | {"weight": 2}])
    assert answer.is_success, answer.text


def test_a_bundle_that_someone_takes_away_is_put_back(plane: Plane, hooked: str) -> None:
    for kind in WEBHOOK_CONFIGURATIONS:
        gone = [{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]
        plane.admin.must("PATCH", kind.path(name=hooks.NAME), gone, "json-patch+json")
    until("the bundles", lambda: hooks.told(plane), seconds=30)
    until("an answer", lambda: apply(plane.admin, hooked).is_success)


def test_sec_the_key_is_in_its_secret_and_nowhere_else(plane: Plane, operator: Operator, hooked: str) -> None:
    data = plane.admin.get(SECRET, HOME, "modelroute-webhook")["data"]
    body = "".join(base64.b64decode(data["tls.key"]).decode().splitlines()[1:-1])
    assert body not in operator.log().replace("\n", "")


def test_o16_what_got_in_while_nobody_answered_is_said_in_a_condition(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    """As if neither CEL nor the webhook had looked."""
    create(plane, namespace, backends=[HOSTED], router={"mode": "None"})
    becomes(plane, namespace, "Accepted", "True", seconds=60)
    before = plane.admin.get(CONFIG_MAP, namespace, "chat-router-snapshot")["data"]
    with hooks.crd_without_rules(plane):
        plane.admin.merge(MODEL_ROUTE, namespace, "chat", {"spec": WRONG})
        said = becomes(plane, namespace, "Accepted", "False", "InvalidSpec")
        after = plane.admin.get(CONFIG_MAP, namespace, "chat-router-snapshot")["data"]
        plane.admin.delete(MODEL_ROUTE, namespace, "chat")
    assert said.startswith('spec.rules[0].prefer[0]: "nobody" is not a backend')
    assert after == before


def test_sec_the_configurations_are_of_our_kinds_alone() -> None:
    rendered = list(yaml.safe_load_all(Path(hooks.RENDERED).read_text()))
    kinds = [kind.name for kind in WEBHOOK_CONFIGURATIONS]
    asked = [hook for o in rendered if o and o["kind"] in kinds for hook in o["webhooks"]]
    assert [hook["rules"][0]["resources"] for hook in asked] == [["pods"], ["modelroutes"]]
    assert asked[0]["objectSelector"]["matchExpressions"] == [{"key": "modelroute.dev/sidecar", "operator": "Exists"}]
    for hook in asked:
        assert (hook["failurePolicy"], hook["sideEffects"], hook["matchPolicy"]) == ("Fail", "None", "Equivalent")
        assert hook["timeoutSeconds"] <= 5
        [skipped] = hook["namespaceSelector"]["matchExpressions"]
        assert (skipped["operator"], set(skipped["values"])) == ("NotIn", {"kube-system", HOME})
