"""What a person sees through kubectl."""

from tests.e2e.conftest import Cluster

BAD = """
apiVersion: modelroute.dev/v1alpha1
kind: ModelRoute
metadata: {name: bad, namespace: demo}
spec:
  backends:
  - {name: small, external: {baseURL: "https://example.com/v1"}, timeouts: {firstToken: "5"}}
"""


def test_get_shows_what_matters(quickstart: Cluster) -> None:
    header, row = quickstart.kubectl("-n", "demo", "get", "mroute", "chat").splitlines()
    assert header.split() == ["NAME", "READY", "BACKENDS", "CANARY", "AGE"]
    assert row.split()[:3] == ["chat", "True", "2/2"]


def test_explain_teaches(cluster: Cluster) -> None:
    shown = cluster.kubectl("explain", "modelroute.spec.backends.timeouts")
    assert "firstToken" in shown
    assert "longest wait for the first byte" in " ".join(shown.split())


def test_describe_tells_the_story(quickstart: Cluster) -> None:
    shown = quickstart.kubectl("-n", "demo", "describe", "mroute", "chat")
    for word in ("Accepted", "ResolvedRefs", "Programmed", "Ready", "Events:"):
        assert word in shown
    assert "Events:  <none>" not in " ".join(shown.split("\n"))


def test_a_mistake_is_refused_at_once_by_its_path(cluster: Cluster) -> None:
    shown = cluster.kubectl("apply", "-f", "-", stdin=BAD, check=False)
    assert "spec.backends[0].timeouts.firstToken" in shown
    assert '"5" is not a duration with a unit; write "5s"' in shown
