"""When a live object is as it must be, by the rules that the API server itself lives by."""

from typing import Any

import pytest

from modelroute.planning.observed import KubeObject
from modelroute.planning.quantity import quantity
from modelroute.planning.resources.drift import needs_apply


def test_what_is_not_there_is_made() -> None:
    assert needs_apply({"kind": "Service"}, None)


SAME: dict[str, tuple[KubeObject, KubeObject]] = {
    "what the server adds": ({"spec": {"a": 1}}, {"spec": {"a": 1, "b": 2}, "status": {}}),
    "another way to write an amount": ({"requests": {"cpu": "1000m"}}, {"requests": {"cpu": "1"}}),
    "an amount that was rounded": ({"limits": {"cpu": "1.23456"}}, {"limits": {"cpu": "1235m"}}),
    "a size in other units": ({"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1024Mi"}}),
    "a limit that someone else set": ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1Gi", "cpu": "1"}}),
    "entries in another order": (
        {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        {"env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]},
    ),
    "an entry that someone else added": (
        {"volumes": [{"name": "a", "emptyDir": {}}]},
        {"volumes": [{"name": "b"}, {"name": "a", "emptyDir": {}}]},
    ),
    "a port with its defaults": (
        {"ports": [{"port": 80, "targetPort": "http"}]},
        {"ports": [{"port": 80, "targetPort": "http", "protocol": "TCP", "nodePort": 31000}]},
    ),
    "a second owner": (
        {"ownerReferences": [{"uid": "1", "name": "a"}]},
        {"ownerReferences": [{"uid": "2", "name": "b"}, {"uid": "1", "name": "a"}]},
    ),
    "an entry of a whole list with its defaults": (
        {"sources": [{"secret": {"name": "a"}}]},
        {"sources": [{"secret": {"name": "a", "mode": 420}}]},
    ),
    "an empty list that is left out": ({"spec": {"tolerations": []}}, {"spec": {}}),
    "a Secret to pull by that an account adds": (
        {"imagePullSecrets": [{"name": "a"}]},
        {"imagePullSecrets": [{"name": "b"}, {"name": "a"}]},
    ),
    "a container that an injector puts before ours": (
        {"initContainers": [{"name": "a", "image": "x"}]},
        {"initContainers": [{"name": "b"}, {"name": "a", "image": "x"}]},
    ),
    "nothing asked for, nothing there": ({"spec": {"class": None}}, {"spec": {"class": ""}}),
}
DIFFERENT: dict[str, tuple[KubeObject, KubeObject]] = {
    "a number": ({"spec": {"replicas": 2}}, {"spec": {"replicas": 3}}),
    "a number for a zero that is left out": ({"replicas": 0}, {}),
    "a false that is left out, where the default is true": ({"automountServiceAccountToken": False}, {}),
    "an amount": ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "2"}}),
    "an amount that is gone": ({"requests": {"cpu": "0"}}, {"requests": {"memory": "1"}}),
    "a label that looks like an amount": ({"labels": {"a": "1"}}, {"labels": {"a": "1000m"}}),
    "a size": ({"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1G"}}),
    "another kind of volume": ({"volumes": [{"name": "a", "emptyDir": {}}]}, {"volumes": [{"name": "a"}]}),
    "an entry that is gone": ({"env": [{"name": "A"}]}, {"env": [{"name": "B"}]}),
    "one argument more": ({"args": ["a"]}, {"args": ["a", "b"]}),
    "arguments in another order": ({"args": ["a", "b"]}, {"args": ["b", "a"]}),
    "a selector with one label more": ({"selector": {"a": "1"}}, {"selector": {"a": "1", "b": "2"}}),
    "a label of nodes more": ({"nodeSelector": {"a": "1"}}, {"nodeSelector": {"a": "1", "b": "2"}}),
    "pods that are picked by a label more": (
        {"podSelector": {"matchLabels": {"a": "1"}}},
        {"podSelector": {"matchLabels": {"a": "1", "b": "2"}}},
    ),
    "another container before ours": ({"initContainers": [{"name": "a"}]}, {"initContainers": [{"name": "b"}]}),
    "a list that must be replaced whole": ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "a"}, {}]}),
    "another owner": ({"ownerReferences": [{"uid": "1"}]}, {"ownerReferences": [{"uid": "2"}]}),
    "a value where there should be none": ({"spec": {"class": None}}, {"spec": {"class": "fast"}}),
    "a list where a map must be": ({"spec": {"a": 1}}, {"spec": ["a"]}),
    "a map where text must be": ({"medium": "Memory"}, {"medium": {}}),
    "text where a list must be": ({"args": ["a"]}, {"args": "a"}),
}


@pytest.mark.parametrize("case", SAME)
def test_it_is_left_alone(case: str) -> None:
    assert not needs_apply(*SAME[case])


@pytest.mark.parametrize("case", DIFFERENT)
def test_it_is_put_back(case: str) -> None:
    assert needs_apply(*DIFFERENT[case])


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [("1", 1000), ("1.5", 1500), (".5", 500), ("2k", 2_000_000), ("1Ki", 1_024_000), ("1e3", 1_000_000), ("1u", 1)],
)
def test_a_quantity_is_an_amount(text: str, thousandths: int) -> None:
    assert quantity(text) == thousandths


@pytest.mark.parametrize("text", ["", "1 Gi", "1Gb", "-1", "one", "1Ki\n"])
def test_other_text_is_no_quantity(text: Any) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(text)
