"""Every example is a ModelRoute that works, and shows what the documentation says of it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelroute.api import types as t
from modelroute.api.parse import parse
from modelroute.cli.manifest import snapshot_from_manifest
from modelroute.planning.admission.sidecar import injected
from modelroute.planning.admission.warnings import warnings
from modelroute.planning.names import SIDECAR, SIDECAR_LABEL
from modelroute.planning.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))
INSTALLED = Settings("modelroute/router:v1", network_policies=True)
"""As the chart has it by default."""
OPEN = "spec.router.auth: whoever reaches the NodePort may ask; name clients' keys in apiKeysSecretRef"
WARNINGS = {"quickstart": OPEN, "quickstart-vllm": OPEN}
"""What kubectl says of an example, and the example itself says that it does."""


def objects(path: Path, kind: str) -> list[dict[str, Any]]:
    return [o for o in yaml.safe_load_all(path.read_text()) if o["kind"] == kind]


def route(path: Path) -> t.ModelRoute:
    (found,) = objects(path, t.KIND)
    return parse(found, allow_loopback=path.stem == "standalone")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_it_is_one_good_modelroute(path: Path) -> None:
    assert route(path).spec.backends


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_it_warns_of_nothing_but_what_it_says_itself(path: Path) -> None:
    expected = WARNINGS.get(path.stem)
    assert warnings(route(path), INSTALLED) == ((expected,) if expected else ())
    assert ("kubectl warns" in path.read_text()) == bool(expected)


def test_the_first_route_that_a_reader_meets_is_a_good_one() -> None:
    [shown] = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert warnings(parse(yaml.safe_load(shown)), INSTALLED) == ()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_it_begins_by_saying_what_it_is(path: Path) -> None:
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("stem", ["quickstart", "quickstart-vllm", "standalone"])
def test_code_and_long_texts_go_to_the_strong_model(stem: str) -> None:
    code, long = route(EXAMPLES / f"{stem}.yaml").spec.rules
    assert code.when == t.When(any_keyword=("def ", "class ", "import ", "{", "}"))
    assert long.when == t.When(min_chars=401)  # more than 400
    assert code.prefer == long.prefer == ("big",)


@pytest.mark.parametrize("stem", ["quickstart", "quickstart-vllm", "standalone"])
def test_nine_of_ten_requests_go_to_the_small_model(stem: str) -> None:
    spec = route(EXAMPLES / f"{stem}.yaml").spec
    assert {b.name: b.weight for b in spec.backends} == {"small": 90, "big": 10}
    assert [f.backend for f in spec.fallbacks] == ["big"]


def test_the_real_engine_changes_nothing_else_of_the_quickstart() -> None:
    plain, real = (list(yaml.safe_load_all((EXAMPLES / f"quickstart{x}.yaml").read_text())) for x in ("", "-vllm"))
    for manifest in (plain[1], real[1]):
        for own in ("vllm", "parameters"):
            manifest["spec"]["backends"][0].pop(own, None)
    assert plain == real


def test_the_keys_that_are_referred_to_are_there() -> None:
    external = route(EXAMPLES / "quickstart.yaml").backend("big").external
    assert external
    assert external.api_key_secret_ref
    (secret,) = objects(EXAMPLES / "quickstart.yaml", "Secret")
    assert secret["metadata"]["name"] == external.api_key_secret_ref.name
    assert external.api_key_secret_ref.key in secret["stringData"]


def test_a_route_that_is_exposed_asks_for_keys_by_tls_and_keeps_what_is_private() -> None:
    spec = route(EXAMPLES / "production.yaml").spec
    assert spec.router.auth.api_keys_secret_ref
    assert spec.router.scheme == "https"
    [private] = spec.rules
    assert private.fail_closed
    assert {b.name for b in spec.backends if b.policy == "External"} == {f.backend for f in spec.fallbacks}


def test_the_pod_that_asks_for_a_router_gets_that_of_the_route_beside_it() -> None:
    path = EXAMPLES / "sidecar.yaml"
    [deployment] = objects(path, "Deployment")
    asks = deployment["spec"]["template"]
    assert asks["metadata"]["labels"][SIDECAR_LABEL] == route(path).metadata.name
    assert injected(asks, route(path), INSTALLED)["spec"]["initContainers"][0]["name"] == SIDECAR


def test_every_engine_and_every_way_to_idle_is_shown() -> None:
    shown = {(b.scaling.engine, b.scaling.idle.action) for path in FILES for b in route(path).spec.backends}
    assert shown >= {("BuiltIn", "ScaleToZero"), ("BuiltIn", "Sleep"), ("KEDA", "ScaleToZero"), ("HPA", "ScaleToZero")}


def test_the_router_alone_can_run_the_standalone_one() -> None:
    snapshot = snapshot_from_manifest((EXAMPLES / "standalone.yaml").read_bytes())
    assert [b.endpoints for b in snapshot.backends] == [("127.0.0.1:9001",), ("127.0.0.1:9002",)]
