"""A policy of the cluster's, as its administrators make them, that denies something in one namespace for a while."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from tests.controlplane.plane import KubeObject, Plane

POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = f"{POLICIES.removesuffix('ies')}ybindings"


@contextlib.contextmanager
def denied(plane: Plane, namespace: str, rule: Mapping[str, Sequence[str]], validation: KubeObject) -> Iterator[str]:
    """Meanwhile what the ``rule`` is about must be as ``validation`` says; the name of policy and binding.

    It is in force a moment later.
    """
    name = f"deny-in-{namespace}"
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]}
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": selector}
    plane.admin.must("POST", POLICIES, {"metadata": {"name": name}, "spec": spec})
    plane.admin.must("POST", BINDINGS, {"metadata": {"name": name}, "spec": binding})
    try:
        yield name
    finally:
        for path in (BINDINGS, POLICIES):
            plane.admin.ask("DELETE", f"{path}/{name}")


def lifted(plane: Plane, name: str) -> None:
    """End the policy of that name before its time."""
    plane.admin.must("DELETE", f"{BINDINGS}/{name}")
