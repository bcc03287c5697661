"""Any route in any world: the plan is one, it is reached, and then nothing is written until something changes."""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from modelroute.api import types as t
from modelroute.planning import quantity
from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.resources.drift import _WHOLE, needs_apply
from modelroute.snapshot.codec import decode, encode
from tests.fakes import world
from tests.fakes.deploying import GOOD

NAMES = ("a", "b-2", "backend-of-20-letter")
AMOUNTS = st.sampled_from(["1", "1000m", "1.5", "2Gi", "0.5Mi", "1.0001"])
RESOURCES = st.fixed_dictionaries(
    {}, optional={key: st.dictionaries(st.sampled_from(["cpu", "memory"]), AMOUNTS) for key in ("requests", "limits")}
)
CACHES = st.sampled_from([{"claimName": "models"}, {"size": "1Gi"}, {"size": "2Gi", "accessMode": "ReadWriteMany"}])
VLLM = st.fixed_dictionaries(
    {"model": st.sampled_from(["org/m", "/cache/m"])},
    optional={
        "gpus": st.integers(0, 2),
        "args": st.lists(st.sampled_from(["--a", "--b=1", ""]), max_size=3),
        "resources": RESOURCES,
        "modelCache": CACHES,
        "startupTimeout": st.sampled_from(["0s", "1h30m", "99999h"]),
        "sharedMemory": AMOUNTS,
        "gpuResource": st.just("amd.com/gpu"),
        "nodeSelector": st.just({"a": "b"}),
        "tolerations": st.just([{"operator": "Exists"}]),
        "imagePullSecrets": st.just([{"name": "keys"}]),
        "hubTokenSecretRef": st.just({"name": "keys"}),
        "loraAdapters": st.just([{"name": "sql", "source": "org/sql"}]),
        "template": st.sampled_from([{}, GOOD["a pod template"]["backends"][0]["vllm"]["template"]]),
    },
)
SCALING = st.one_of(
    st.fixed_dictionaries({"minReplicas": st.integers(0, 3)}),
    st.fixed_dictionaries({"minReplicas": st.integers(1, 3), "engine": st.sampled_from(["HPA", "External", "KEDA"])}),
)
EXTERNAL = st.fixed_dictionaries(
    {"baseURL": st.sampled_from(["https://x.example/v1", "http://s.d.svc:80"])},
    optional={"apiKeySecretRef": st.sampled_from([{"name": "keys"}, {"name": "keys", "key": "other"}])},
)
KINDS = st.one_of(
    st.fixed_dictionaries({"vllm": VLLM, "scaling": SCALING}),
    st.fixed_dictionaries({"targetRef": st.fixed_dictionaries({"name": st.just("svc"), "port": st.integers(80, 81)})}),
    st.fixed_dictionaries({"external": EXTERNAL}),
)
ROUTER: dict[str, st.SearchStrategy[Any]] = {"replicas": st.integers(0, 3), "resources": RESOURCES}
CLIENTS = st.just({"apiKeysSecretRef": {"name": "keys"}})
ROUTERS = st.one_of(
    st.fixed_dictionaries(ROUTER, optional={"auth": CLIENTS, "tls": st.just({"secretRef": {"name": "keys"}})}),
    st.fixed_dictionaries(ROUTER | {"mode": st.sampled_from(["Sidecar", "None"])}, optional={"auth": CLIENTS}),
)
TRAFFIC = st.fixed_dictionaries(
    {},
    optional={
        "loadBalancing": st.sampled_from([{"type": "PrefixHash"}, {"slowStart": "0s"}]),
        "limits": st.sampled_from([{"maxInFlight": 1}, {"maxWait": "1m"}]),
        "health": st.sampled_from([{"path": ""}, {"ejection": "1s"}]),
        "dataPolicy": st.sampled_from(["Internal", "External"]),
    },
)


@st.composite
def routes(draw: st.DrawFn) -> t.ModelRoute:
    """Any route; of one name, so that two of them are two specs of one object."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    weights = [draw(st.integers(0, 5)) for _ in names]
    weights[0] += 1
    backends = [{"name": n, "weight": w} | draw(KINDS) | draw(TRAFFIC) for n, w in zip(names, weights, strict=True)]
    fallbacks = draw(st.lists(st.sampled_from([{"backend": n} for n in names]), max_size=1))
    return world.route(backends=backends, fallbacks=fallbacks, router=draw(ROUTERS))


SLICES = st.builds(
    world.pods,
    st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    name=st.sampled_from(["http", ""]),
)
SERVICES = st.sampled_from([{}, {"svc": {"spec": {"ports": [{"port": 80}]}}}])
SECRETS = st.sampled_from([{}, {"keys": None}, {"keys": frozenset({"api-key", "keys.yaml", "pepper"})}])
WORLDS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    slices=st.dictionaries(
        st.sampled_from(["svc", *(f"chat--{name}" for name in NAMES)]), st.lists(SLICES, max_size=2).map(tuple)
    ),
    services=SERVICES,
    secrets=SECRETS,
    claims=st.sampled_from([frozenset(), frozenset({"models"})]),
)


def served(planned: KubeObject) -> KubeObject:
    """``planned`` as an API server gives it back: with defaults, amounts in its own writing, nothing else changed."""
    return world.live(_defaulted(planned, ""))


def _defaulted(value: Any, field: str) -> Any:
    if isinstance(value, list):
        return [_defaulted(item, "") for item in value]
    if not isinstance(value, dict):
        return f"{quantity.quantity(value)}m" if field == "sizeLimit" else value
    if field in ("limits", "requests"):
        return {key: f"{quantity.quantity(amount)}m" for key, amount in value.items()}
    added = {} if field in _WHOLE else {"added": "by the server"}
    return {key: _defaulted(item, key) for key, item in value.items()} | added


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    else:
        yield path


@settings(deadline=None)  # a busy machine is no fault
@given(routes(), WORLDS)
def test_a_plan_that_was_carried_out_is_at_rest(route: t.ModelRoute, seen: Any) -> None:
    first = world.planned(route, Observed(**seen))
    children = tuple(served(o) for o in first.objects)
    old = world.planned(route, Observed(children=children, **seen)).status
    again = world.planned(
        msgspec.structs.replace(route, status=old), Observed(children=children, **seen), now=world.LATER
    )
    assert [o["kind"] for o in again.objects if needs_apply(o, _find(o, children))] == []
    assert (again.orphans, again.events, again.status) == ((), (), old)


@settings(deadline=None)  # a busy machine is no fault
@given(routes(), routes(), WORLDS)
def test_any_change_is_reached_in_one_step(before: t.ModelRoute, after: t.ModelRoute, seen: Any) -> None:
    children = tuple(served(o) for o in world.planned(before, Observed(**seen)).objects)
    step = world.planned(after, Observed(children=children, **seen))
    reached = world.planned(after, Observed(children=tuple(served(o) for o in step.objects), **seen))
    assert ([_uncounted(o) for o in reached.objects], reached.orphans) == ([_uncounted(o) for o in step.objects], ())
    left = {_key(c) for c in children} - {_key(o) for o in step.objects}
    assert left == {_key(o) for o in step.orphans}


@settings(deadline=None)  # a busy machine is no fault
@given(routes(), WORLDS, st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_seen_means_nothing(route: t.ModelRoute, seen: Any, random: Any) -> None:
    children = [served(o) for o in world.planned(route, Observed(**seen)).objects]
    one = world.planned(route, Observed(children=tuple(children), **seen))
    random.shuffle(children)
    turned = {name: tuple(reversed(slices)) for name, slices in reversed(seen["slices"].items())}
    other = world.planned(route, Observed(children=tuple(children), **seen | {"slices": turned}))
    assert (one.objects, one.status, one.snapshot) == (other.objects, other.status, other.snapshot)


@settings(deadline=None)  # a busy machine is no fault
@given(routes(), WORLDS)
def test_the_status_tells_what_the_routers_do(route: t.ModelRoute, seen: Any) -> None:
    planned = world.planned(route, Observed(**seen))
    ready = {b.name for b in planned.snapshot.backends if b.endpoints}
    shares = {b.name: b.effective_weight for b in planned.status.backends}
    assert sum(shares.values()) in (0, 100)
    assert {name for name, share in shares.items() if share} <= ready
    assert planned.status.ready_backends == f"{len(ready)}/{len(shares)}"
    assert decode(encode(planned.snapshot)) == planned.snapshot


@settings(deadline=None)  # a busy machine is no fault
@given(routes())
def test_no_two_children_are_one_and_every_name_fits(route: t.ModelRoute) -> None:
    keys = [_key(o) for o in world.planned(route).objects]
    assert len(set(keys)) == len(keys)
    assert [name for _, name in keys if len(name) > 63] == []


@settings(max_examples=200, deadline=None)
@given(routes(), WORLDS, st.data())
def test_every_field_that_is_set_is_put_back(route: t.ModelRoute, seen: Any, data: st.DataObject) -> None:
    desired = data.draw(st.sampled_from(world.planned(route, Observed(**seen)).objects))
    path = data.draw(st.sampled_from(list(leaves(desired))))
    live = served(copy.deepcopy(desired))
    holder: Any = live
    for key in path[:-1]:
        holder = holder[key]
    if data.draw(st.booleans()):
        del holder[path[-1]]
    else:
        value = holder[path[-1]]
        holder[path[-1]] = value + 1 if isinstance(value, int) else f"{value}x"
    assert needs_apply(desired, live)


def _uncounted(planned: KubeObject) -> KubeObject:
    """A Deployment without its number of replicas: of some it is said at first, and then left to another."""
    if planned["kind"] != "Deployment":
        return planned
    meta = {k: v for k, v in planned["metadata"].items() if k != "resourceVersion"}
    return planned | {"metadata": meta, "spec": {k: v for k, v in planned["spec"].items() if k != "replicas"}}


def _key(child: KubeObject) -> tuple[str, str]:
    return child["kind"], child["metadata"]["name"]


def _find(wanted: KubeObject, children: tuple[KubeObject, ...]) -> KubeObject | None:
    return next((c for c in children if _key(c) == _key(wanted)), None)
