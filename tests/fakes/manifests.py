"""ModelRoute manifests: a good one to start from, and one of each mistake, with what a person must be told."""

import copy
from typing import Any, NamedTuple

from tests.fakes import router_manifests

VLLM = {"name": "small", "vllm": {"model": "org/small"}}
HOSTED = {"name": "big", "external": {"baseURL": "https://api.example.com/v1"}}
BOTH = [VLLM, HOSTED]


def manifest(name: str = "chat", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    """A manifest with these fields in its spec; two backends unless said otherwise."""
    return {
        "apiVersion": "modelroute.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": copy.deepcopy({"backends": BOTH} | spec),
    }


def backends(*changes: dict[str, Any]) -> dict[str, Any]:
    """A spec whose backends are the vLLM one with each of these changes."""
    return {"backends": [VLLM | change for change in changes]}


def vllm(**fields: Any) -> dict[str, Any]:
    return backends({"vllm": {"model": "org/small"} | fields})


def hosted(url: str) -> dict[str, Any]:
    return {"backends": [{"name": "big", "external": {"baseURL": url}}]}


def rule(**fields: Any) -> dict[str, Any]:
    return {"rules": [{"name": "code", "when": {"anyKeyword": ["def "]}, "prefer": ["big"]} | fields]}


class Mistake(NamedTuple):
    """``path`` and ``says`` are of parse's error; ``beyond_cel``: what the API server alone does not see."""

    spec: dict[str, Any]
    path: str
    says: str
    beyond_cel: bool = False


_OTHER = {"name": "other", "vllm": {"model": "m"}}

MISTAKES = {name: Mistake(*mistake) for name, mistake in router_manifests.MISTAKES.items()} | {
    "no backends": Mistake({"backends": []}, "spec.backends", "length >= 1"),
    "a backend without a name": Mistake({"backends": [{"vllm": VLLM["vllm"]}]}, "spec.backends[0]", '"name"'),
    "a typo": Mistake(vllm(modle="x"), "spec.backends[0].vllm", 'unknown field "modle"; did you mean "model"?'),
    "an unknown field": Mistake({"zzz": 1}, "spec", 'unknown field "zzz"; here are backends, canary,'),
    "a field of another type": Mistake(
        {"router": {"weight": 1}},
        "spec.router",
        'unknown field "weight"; here are auth, mode, replicas, resources, service',
    ),
    "a number without a unit": Mistake(
        backends({"timeouts": {"firstToken": "5"}}), "spec.backends[0].timeouts.firstToken", '"5" is not a duration'
    ),
    "a number for a duration": Mistake(vllm(startupTimeout=20), "spec.backends[0].vllm.startupTimeout", "a string"),
    "a duration and a newline": Mistake(vllm(drainTimeout="5s\n"), "spec.backends[0].vllm.drainTimeout", "duration"),
    "a decimal as a number": Mistake(
        backends({"parameters": {"temperature": {"max": 0.7}}}),
        "spec.backends[0].parameters.temperature.max",
        "expected a string, got a number",
    ),
    "a quantity with a space": Mistake(
        vllm(resources={"limits": {"cpu": "2", "memory": "2 GB"}}),
        "spec.backends[0].vllm.resources.limits.memory",
        '"2 GB" is not a quantity',
    ),
    "a negative weight": Mistake(backends({"weight": -1}), "spec.backends[0].weight", ">= 0"),
    "a weight as text": Mistake(backends({"weight": "3"}), "spec.backends[0].weight", "a whole number, got a string"),
    "capitals in a name": Mistake(backends({"name": "Small"}), "spec.backends[0].name", '"Small" is not a name'),
    "dashes that end a name": Mistake(backends({"name": "small-"}), "spec.backends[0].name", "is not a name"),
    "two dashes in a name": Mistake(backends({"name": "a--b"}), "spec.backends[0].name", "is not a name"),
    "a long name": Mistake(backends({"name": "a" * 21}), "spec.backends[0].name", "<= 20"),
    "one name twice": Mistake(backends({}, {}), "spec.backends[1]", '"small" is there twice'),
    "one model twice": Mistake({"models": ["a", "a"]}, "spec.models[1]", '"a" is there twice'),
    "one rule twice": Mistake({"rules": rule()["rules"] * 2}, "spec.rules[1]", '"code" is there twice'),
    "one fallback twice": Mistake({"fallbacks": [{"backend": "big"}] * 2}, "spec.fallbacks[1]", '"big" is there twice'),
    "two kinds of backend": Mistake(
        backends({"external": HOSTED["external"]}), "spec.backends[0]", "exactly one of vllm, targetRef and external"
    ),
    "no kind of backend": Mistake({"backends": [{"name": "small"}]}, "spec.backends[0]", "exactly one of"),
    "replicas of a hosted API": Mistake(
        {"backends": [HOSTED | {"scaling": {"minReplicas": 2}}]}, "spec.backends[0].scaling", "only a vllm backend"
    ),
    "no weight at all": Mistake(backends({"weight": 0}), "spec.backends", "the weights of all backends are 0"),
    "a rule for nobody": Mistake(
        rule(prefer=["big", "bigg"]), "spec.rules[0].prefer[1]", '"bigg" is not a backend of this route (small, big)'
    ),
    "an excluded backend that is none": Mistake(
        rule(exclude=["x"]), "spec.rules[0].exclude[0]", '"x" is not a backend of this route (small, big)'
    ),
    "a rule without effect": Mistake(
        rule(prefer=[], failClosed=False), "spec.rules[0]", "a rule needs prefer, exclude or failClosed"
    ),
    "one backend excluded twice": Mistake(
        rule(exclude=["small", "small"]), "spec.rules[0].exclude[1]", '"small" is there twice'
    ),
    "preferred and excluded": Mistake(
        rule(exclude=["big"]), "spec.rules[0].exclude[0]", '"big" is both preferred and excluded'
    ),
    "a rule that excludes all": Mistake(
        rule(prefer=[], exclude=["small", "big"]), "spec.rules[0]", "leaves no backend that may answer"
    ),
    "a closed rule that excludes the rest": Mistake(
        rule(prefer=[], exclude=["small"], failClosed=True), "spec.rules[0]", "leaves no backend that may answer"
    ),
    "a closed rule with a hosted API": Mistake(
        rule(prefer=["small", "big"], failClosed=True), "spec.rules[0].prefer[1]", "cannot prefer a backend whose data"
    ),
    "a closed rule with a backend of someone else's": Mistake(
        rule(prefer=["small"], failClosed=True) | {"backends": [VLLM | {"dataPolicy": "External"}, HOSTED, _OTHER]},
        "spec.rules[0].prefer[0]",
        "cannot prefer a backend whose data",
    ),
    "a rule without a condition": Mistake(rule(when={}), "spec.rules[0].when", "a rule needs a condition"),
    "an empty list as a condition": Mistake(rule(when={"tiers": []}), "spec.rules[0].when", "needs a condition"),
    "an empty keyword": Mistake(rule(when={"anyKeyword": [""]}), "spec.rules[0].when.anyKeyword[0]", "length >= 1"),
    "one tier twice": Mistake(rule(when={"tiers": ["a", "a"]}), "spec.rules[0].when.tiers[1]", '"a" is there twice'),
    "a tier that nobody tells": Mistake(
        rule(when={"tiers": ["vip"]}), "spec.rules[0].when.tiers", "without router.auth.trustedHeaders.tier"
    ),
    "minChars above maxChars": Mistake(
        rule(when={"minChars": 9, "maxChars": 8}), "spec.rules[0].when", "above maxChars"
    ),
    "a header that cannot be": Mistake(
        rule(when={"headers": {"x-ok": "1", "x bad": "1"}}),
        "spec.rules[0].when.headers.x bad",
        '"x bad" is not an HTTP header name',
    ),
    "a fallback to nobody": Mistake(
        {"fallbacks": [{"backend": "x"}]}, "spec.fallbacks[0].backend", '"x" is not a backend'
    ),
    "a fallback on nothing": Mistake(
        {"fallbacks": [{"backend": "big", "failures": []}]}, "spec.fallbacks[0].failures", "length >= 1"
    ),
    "an unknown failure": Mistake(
        {"fallbacks": [{"backend": "big", "failures": ["Slow"]}]},
        "spec.fallbacks[0].failures[0]",
        '"Slow" is none of ColdStart,',
    ),
    "one failure twice": Mistake(
        {"fallbacks": [{"backend": "big", "failures": ["Timeout"] * 2}]},
        "spec.fallbacks[0].failures[1]",
        '"Timeout" is there twice',
    ),
    "a canary of nobody": Mistake({"canary": {"backend": "x"}}, "spec.canary.backend", '"x" is not a backend'),
    "a canary beside nobody": Mistake(
        {"canary": {"backend": "big", "baseline": "x"}}, "spec.canary.baseline", '"x" is not a backend'
    ),
    "a canary beside itself": Mistake(
        {"canary": {"backend": "big", "baseline": "big"}}, "spec.canary.baseline", "cannot be its own baseline"
    ),
    "one user twice": Mistake(
        {"canary": {"backend": "big", "allow": ["u", "u"]}}, "spec.canary.allow[1]", '"u" is there twice'
    ),
    "more than all users": Mistake({"canary": {"backend": "big", "percent": 101}}, "spec.canary.percent", "<= 100"),
    "a default above the maximum": Mistake(
        backends({"parameters": {"maxTokens": {"default": 9, "max": 8}}}),
        "spec.backends[0].parameters.maxTokens",
        "default is above max",
    ),
    "a temperature above the maximum": Mistake(
        backends({"parameters": {"temperature": {"default": "10.0", "max": "9.5"}}}),
        "spec.backends[0].parameters.temperature",
        "default is above max",
    ),
    "a cache of neither kind": Mistake(vllm(modelCache={}), "spec.backends[0].vllm.modelCache", "either claimName"),
    "a cache of both kinds": Mistake(
        vllm(modelCache={"claimName": "c", "size": "1Gi"}), "spec.backends[0].vllm.modelCache", "either claimName"
    ),
    "a class for an existing claim": Mistake(
        vllm(modelCache={"claimName": "c", "storageClassName": "fast"}),
        "spec.backends[0].vllm.modelCache.storageClassName",
        "goes with size",
    ),
    "an unknown balancing": Mistake(
        backends({"loadBalancing": {"type": "Random"}}), "spec.backends[0].loadBalancing.type", "none of LeastInFlight,"
    ),
    "a bound below the mean": Mistake(
        backends({"loadBalancing": {"boundPercent": 99}}), "spec.backends[0].loadBalancing.boundPercent", ">= 100"
    ),
    "nothing in flight": Mistake(
        backends({"limits": {"maxInFlight": 0}}), "spec.backends[0].limits.maxInFlight", ">= 1"
    ),
    "more than half ejected": Mistake(
        backends({"health": {"maxEjectedPercent": 51}}), "spec.backends[0].health.maxEjectedPercent", "<= 50"
    ),
    "an ejection above the longest": Mistake(
        backends({"health": {"ejection": "301s"}}), "spec.backends[0].health.ejection", "is above maxEjection"
    ),
    "an ejection of no time": Mistake(
        backends({"health": {"ejection": "0s"}}), "spec.backends[0].health.ejection", "ejection is 0"
    ),
    "probes without end": Mistake(
        backends({"health": {"interval": "999ms"}}), "spec.backends[0].health.interval", "under 1s"
    ),
    "a probe of another host": Mistake(
        backends({"health": {"path": "health"}}), "spec.backends[0].health.path", '"health" is not a path'
    ),
    "an unknown cold start": Mistake(
        backends({"coldStart": {"policy": "Wait"}}), "spec.backends[0].coldStart.policy", '"Wait" is none of'
    ),
    "a first token after the end": Mistake(
        backends({"timeouts": {"firstToken": "1m1s", "total": "1m"}}),
        "spec.backends[0].timeouts.firstToken",
        "firstToken is above total",
    ),
    "no time at all": Mistake(backends({"timeouts": {"total": "0s"}}), "spec.backends[0].timeouts.total", "total is 0"),
    "no time for a route": Mistake({"timeouts": {"total": "0m0ms"}}, "spec.timeouts.total", "total is 0"),
    "an unknown data policy": Mistake(
        backends({"dataPolicy": "Secret"}), "spec.backends[0].dataPolicy", '"Secret" is none of'
    ),
    "no try": Mistake({"retry": {"attempts": 0}}, "spec.retry.attempts", ">= 1"),
    "a backoff above the longest": Mistake(
        {"retry": {"backoff": {"min": "9s"}}}, "spec.retry.backoff.min", "above max"
    ),
    "a budget of more than all": Mistake({"retry": {"budgetPercent": 101}}, "spec.retry.budgetPercent", "<= 100"),
    "a Service name that cannot be": Mistake(
        {"backends": [{"name": "a", "targetRef": {"name": "My Svc", "port": 80}}]},
        "spec.backends[0].targetRef.name",
        '"My Svc" is not the name of a Kubernetes object',
    ),
    "plain http to the world": Mistake(
        hosted("http://api.example.com/v1"), "spec.backends[0].external.baseURL", "https://"
    ),
    "this machine": Mistake(hosted("https://localhost/v1"), "spec.backends[0].external.baseURL", "this machine"),
    "a metadata service": Mistake(
        hosted("https://169.254.169.254/v1"), "spec.backends[0].external.baseURL", "metadata"
    ),
    "a port that is none": Mistake(hosted("https://a.example:65536"), "spec.backends[0].external.baseURL", "base URL"),
    "a port of 0": Mistake(hosted("https://a.example:0/v1"), "spec.backends[0].external.baseURL", "base URL"),
    "a host of dots": Mistake(hosted("https://../v1"), "spec.backends[0].external.baseURL", "base URL"),
    "a host that is too long": Mistake(
        hosted(f"https://{'a' * 64}.example/v1"), "spec.backends[0].external.baseURL", "base URL"
    ),
    "a URL with a query": Mistake(hosted("https://a.example/v1?k=v"), "spec.backends[0].external.baseURL", "base URL"),
}

GOOD: dict[str, dict[str, Any]] = router_manifests.GOOD | {
    "two backends": {},
    "scaling without a change": {"backends": [HOSTED | {"scaling": {}}]},
    "a weight of 0 beside another": {"backends": [VLLM, HOSTED | {"weight": 0}]},
    "a Service": {"backends": [{"name": "a", "targetRef": {"name": "svc", "port": 8000}}]},
    "plain http to a Service": hosted("http://svc.demo.svc:8000/v1"),
    "plain http to a Service, in full": hosted("http://svc.demo.svc.cluster.local./v1"),
    "a public address": hosted("https://8.8.8.8:8443/v1"),
    "the last port": hosted("https://a.example:65535"),
    "a name that holds an address": hosted("https://127.0.0.1.example.com/v1"),
    "a default that is the maximum": backends({"parameters": {"maxTokens": {"default": 8, "max": 8}}}),
    "decimals in their order": backends({"parameters": {"temperature": {"default": "9.5", "max": "10"}}}),
    "a new claim": vllm(modelCache={"size": "10Gi", "storageClassName": "fast", "accessMode": "ReadWriteMany"}),
    "a canary": {"canary": {"backend": "big", "baseline": "small", "percent": 5, "allow": ["u-17"]}},
    "a tier that a header tells": rule(when={"tiers": ["vip"]})
    | {"router": {"auth": {"trustedHeaders": {"tier": "x-tier"}}}},
    "a tier that a key has": rule(when={"tiers": ["vip"]})
    | {"router": {"auth": {"apiKeysSecretRef": {"name": "chat-keys"}}}},
    "the most frequent probes": backends({"health": {"interval": "1s"}}),
    "a rule that only excludes": rule(prefer=[], exclude=["small"]),
    "a closed rule": rule(prefer=["small"], failClosed=True),
    "a hosted API that is trusted": rule(prefer=["big"], failClosed=True)
    | {"backends": [HOSTED | {"dataPolicy": "Internal"}]},
    "a route with every limit": backends(
        {
            "loadBalancing": {"type": "PrefixHash", "prefixChars": 512, "boundPercent": 150, "slowStart": "0s"},
            "limits": {"maxInFlight": 64, "maxWaiting": 0, "maxWait": "0s"},
            "health": {"successPercent": 0, "ejection": "5m", "interval": "0s", "path": "", "maxEjectedPercent": 0},
            "coldStart": {"policy": "HoldThenFallback", "maxWait": "5m", "maxHeld": 10},
            "timeouts": {"firstToken": "1m", "total": "60s"},
        }
    )
    | {"timeouts": {"total": "10m"}, "retry": {"attempts": 1, "backoff": {"min": "8s"}, "budgetPercent": 0}},
    "a rule, a fallback": rule() | {"fallbacks": [{"backend": "big", "failures": ["ColdStart"]}]},
}
