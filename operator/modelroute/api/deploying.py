"""The rules of what the operator runs: one field of a vLLM, a toleration or an engine of scaling against another.

Used by ``rules``, through which the CRD and ``parse`` reach them. Never looks outside the manifest.
"""

from collections.abc import Iterable

from modelroute.api import podchecks
from modelroute.api import types as t
from modelroute.api.checks import Finding, Rule, rule
from modelroute.api.scalars import LABEL_KEY, seconds

_MOST_LOOKED_BACK = 3600


def _template(vllm: t.VLLM) -> Iterable[Finding]:
    return ((f".template{below}", problem) for below, problem in podchecks.findings(vllm.template))


VLLM = (
    rule(
        "!has(self.tensorParallel) || self.gpus == 0 || self.tensorParallel <= self.gpus",
        "tensorParallel is above gpus",
        lambda v: v.tensor_parallel is not None and 0 < v.gpus < v.tensor_parallel,
        ".tensorParallel",
    ),
    rule(
        "!self.prePull || has(self.nodeSelector) && self.nodeSelector.size() > 0",
        "prePull needs nodeSelector, lest the image is pulled on every node of the cluster",
        lambda v: v.pre_pull and not v.node_selector,
        ".prePull",
    ),
    # Of a map's keys the schema itself can say nothing; ``parse`` finds a wrong one by its type.
    Rule(
        f'!has(self.nodeSelector) || self.nodeSelector.all(k, k.size() <= 316 && k.matches(r"{LABEL_KEY}"))',
        "a key in nodeSelector is not the key of a label",
        lambda _: [],
        ".nodeSelector",
    ),
    Rule("", "the pod template reaches for what it may not have", _template, ".template"),
)

TOLERATION = (
    rule(
        'has(self.key) || self.operator == "Exists"',
        "without a key, operator is Exists",
        lambda x: x.key is None and x.operator != "Exists",
    ),
    rule(
        '!has(self.value) || self.operator == "Equal"',
        "a value goes with operator Equal",
        lambda x: x.value is not None and x.operator != "Equal",
        ".value",
    ),
    rule(
        '!has(self.tolerationSeconds) || has(self.effect) && self.effect == "NoExecute"',
        "tolerationSeconds goes with effect NoExecute",
        lambda x: x.toleration_seconds is not None and x.effect != "NoExecute",
        ".tolerationSeconds",
    ),
)

ADAPTERS = rule(
    "!has(self.vllm) || !has(self.vllm.loraAdapters) || !self.vllm.loraAdapters.exists(a, a.name == self.name)",
    "an adapter has the backend's name, to which the model itself answers",
    lambda b: b.vllm is not None and any(a.name == b.name for a in b.vllm.lora_adapters),
    ".vllm.loraAdapters",
)


def _looks_back(part: str) -> Rule:
    """That an autoscaler is not asked to look back further than it can."""
    field = {"scale_up": "scaleUp", "scale_down": "scaleDown"}[part]
    return rule(
        f'!(self.engine in ["HPA", "KEDA"]) || !has(self.{field}) || '
        f'duration(self.{field}.stabilization) <= duration("1h")',
        "an autoscaler looks back an hour at most",
        lambda s: s.engine in ("HPA", "KEDA") and seconds(getattr(s, part).stabilization) > _MOST_LOOKED_BACK,
        f".{field}.stabilization",
    )


ENGINES = (
    rule(
        'self.engine != "HPA" || self.minReplicas >= 1',
        "an HPA keeps one replica at least; engine BuiltIn or KEDA can go to zero",
        lambda s: s.engine == "HPA" and not s.min_replicas,
        ".minReplicas",
    ),
    _looks_back("scale_up"),
    _looks_back("scale_down"),
    rule(
        '!has(self.metric) || self.engine == "HPA"',
        "metric goes with engine HPA",
        lambda s: s.metric is not None and s.engine != "HPA",
        ".metric",
    ),
    rule(
        '!has(self.serverAddress) || self.engine == "KEDA"',
        "serverAddress goes with engine KEDA",
        lambda s: s.server_address is not None and s.engine != "KEDA",
        ".serverAddress",
    ),
)
