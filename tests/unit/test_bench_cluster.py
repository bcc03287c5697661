import json

import pytest

from benchmarks.apply import Answer, backend_of, manifests, switched
from benchmarks.steady import audited, counted, writes

METRICS = """\
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",group="",resource="pods",subresource="status",verb="PATCH"} 3
apiserver_request_total{code="409",group="",resource="pods",subresource="status",verb="PATCH"} 1
apiserver_request_total{code="200",group="apps",resource="deployments",subresource="",verb="APPLY"} 2
apiserver_request_total{code="200",group="",resource="pods",subresource="",verb="LIST"} 1e+06
"""


def answers(*backends: str) -> list[Answer]:
    return [Answer(float(second), backend) for second, backend in enumerate(backends)]


def test_a_change_is_made_when_the_last_router_has_it() -> None:
    assert switched(answers("old", "new", "old", "new", "new"), 0, "new") == 3


def test_answers_count_in_the_order_in_which_they_were_asked() -> None:
    assert switched(reversed(answers("old", "new", "new")), 0, "new") == 1


def test_what_was_asked_before_the_change_does_not_count() -> None:
    assert switched(answers("new", "old", "new"), 2, "new") == 2


def test_a_change_is_not_made_while_the_last_answer_is_old() -> None:
    assert switched(answers("new", "old"), 0, "new") is None


def test_the_backend_is_read_whatever_the_case_of_the_header() -> None:
    assert backend_of(b"HTTP/1.1 200 OK\r\nX-ModelRoute-Backend: big\r\n\r\n{}") == "big"


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 503 No\r\nx-modelroute-backend: big\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 2"]
)
def test_anything_but_an_answer_of_a_backend_is_a_failure(answer: bytes) -> None:
    with pytest.raises(ValueError, match=answer[:10].decode()):
        backend_of(answer)


def test_each_flip_gives_all_the_weight_to_one_backend_and_keeps_the_original() -> None:
    original, flipped = manifests(
        "kind: Namespace\n---\nkind: ModelRoute\nspec: {backends: [{name: a, weight: 90}, {name: b, weight: 10}]}\n"
    )
    weights = {to: [b["weight"] for b in route["spec"]["backends"]] for to, route in flipped.items()}
    assert weights == {"a": [100, 0], "b": [0, 100]}
    assert [b["weight"] for b in original["spec"]["backends"]] == [90, 10]


def test_writes_are_counted_by_verb_and_resource_and_reads_are_not() -> None:
    assert writes(METRICS) == {"PATCH pods/status": 4, "APPLY deployments": 2}


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        ("PUT leases", False),
        ("POST events", False),
        ("POST tokenreviews", False),
        ("POST serviceaccounts/token", False),
        ("POST serviceaccounts", True),
        ("PATCH modelroutes/status", True),
    ],
)
def test_heartbeats_and_questions_are_left_out(write: str, *, expected: bool) -> None:
    assert counted(write) is expected


def test_only_the_operator_s_writes_are_taken_from_the_audit_log() -> None:
    events = [
        ("system:serviceaccount:ours:modelroute", "patch", {"resource": "modelroutes", "subresource": "status"}),
        ("system:serviceaccount:ours:modelroute", "get", {"resource": "modelroutes"}),
        ("system:serviceaccount:theirs:other", "create", {"resource": "pods"}),
        ("admin", "create", {"resource": "pods"}),
    ]
    lines = [json.dumps({"user": {"username": u}, "verb": v, "objectRef": r}) for u, v, r in events]
    assert audited(lines, "ours") == {"patch modelroutes/status": 1}
