"""What planning looks at: the live objects around one ModelRoute, as the API server gives them.

Filled by the controller for every reconcile; ``references`` says what to look for. Never holds a Secret's value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from modelroute.planning.errands import Errand, Sleep
from modelroute.planning.scaling.demand import Demand
from modelroute.planning.times.moments import unix

KubeObject = dict[str, Any]
"""An object of the Kubernetes API as JSON."""


@dataclass(frozen=True, slots=True)
class Pod:
    """What matters of a pod: a replica of a vllm backend, a router, or one with a router in it. Unix seconds."""

    name: str
    component: str  # backend, router or sidecar
    backend: str  # empty unless it is a replica
    address: str  # its IP; empty while it has none
    created: float
    scheduled: float | None = None  # a node was found
    started: float | None = None  # its main container runs
    loaded: float | None = None  # its containers are ready
    warm: float | None = None  # its readiness gate is open
    gated: bool = False  # it has our readiness gate
    ready: bool = False  # of one with a router in it: the router is
    ending: bool = False  # or it has ended
    draining: float | None = None  # since when it gets no new requests, because it is to go
    sleeping: float | None = None  # since when it gets no requests, because it is to sleep
    trouble: str = ""  # what keeps it from running, in a sentence
    restarted: bool = False  # a container of it has ended once, and was started again

    @property
    def marked(self) -> bool:
        """Whether it is to go or to sleep: routers let go of it."""
        return self.draining is not None or self.sleeping is not None

    def at(self, port: int) -> str:
        """``host:port`` of it, as URLs and snapshots have it."""
        return f"[{self.address}]:{port}" if ":" in self.address else f"{self.address}:{port}"


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one router said of one backend.

    Counted since it started: ``requests`` that it let through, and ``cold``, those that were for this backend and met
    no ready replica, whoever answered them then.
    """

    in_flight: int = 0
    waiting: int = 0
    requests: int = 0
    cold: int = 0
    by_replica: Mapping[str, int] = field(default_factory=dict)  # in flight, by host:port
    quiet_for: float = 0.0  # seconds for which nobody has asked, as far as it knows; of an older router 0


class Slice(NamedTuple):
    """An EndpointSlice: of its endpoints those that can answer, each an address and the name of its pod, or ""."""

    family: str  # IPv4, IPv6 or FQDN
    ports: tuple[tuple[str, int], ...]  # name and number
    endpoints: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What a router pod says that it runs; ``error`` is why it refuses the newest snapshot, or could not be asked."""

    revision: str = ""
    generation: int = 0
    error: str = ""
    asked: bool = True  # False: it could not be asked
    backends: Mapping[str, Traffic] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Engine:
    """What a replica's own metrics say."""

    running: int = 0
    waiting: int = 0
    cache: float = 0.0  # of 1
    sleeping: bool | None = False  # None: it says nothing of that


@dataclass(frozen=True, slots=True)
class WarmUpResult:
    """How the last warm-up of a pod ended. Unix seconds; ``error`` is empty when it answered."""

    at: float
    health_seconds: float = 0.0
    answer_seconds: float = 0.0
    error: str = ""
    slot: tuple[str, str] | None = None  # as the errand had it; None: a first one
    wake_seconds: float | None = None  # what it took to wake, where it was woken for this


@dataclass(frozen=True, slots=True)
class Observed:
    """All that is seen of one ModelRoute. Without arguments: a cluster that holds nothing of it yet."""

    children: tuple[KubeObject, ...] = ()  # controlled by the ModelRoute; each with apiVersion and kind
    slices: Mapping[str, tuple[Slice, ...]] = field(default_factory=dict)  # by Service name
    services: Mapping[str, KubeObject] = field(default_factory=dict)  # Services that targetRefs name, where they exist
    secrets: Mapping[str, frozenset[str] | None] = field(default_factory=dict)  # the keys of each Secret; None: missing
    hidden: frozenset[str] = frozenset()  # Secrets that the operator may not read: nobody knows what is in them
    claims: frozenset[str] = frozenset()  # those of the claims that the route names which exist
    troubles: Mapping[str, str] = field(default_factory=dict)  # what keeps pods from running, by Deployment
    pods: tuple[Pod, ...] = ()  # of backends, routers and sidecars, in a stable order
    told: Mapping[str, Told] = field(default_factory=dict)  # by router or sidecar pod, where one was asked
    engines: Mapping[str, Engine] = field(default_factory=dict)  # by replica's pod, where one was asked
    warm_ups: Mapping[str, WarmUpResult] = field(default_factory=dict)  # by WarmUp.pod, where one was
    under_way: frozenset[Errand] = frozenset()  # errands that are being run
    stuck: Mapping[str, str] = field(default_factory=dict)  # by pod: the errand that fails again and again, and why
    slept: Mapping[str, Sleep] = field(default_factory=dict)  # by pod: the newest of these errands that was done
    oversleeping: frozenset[str] = frozenset()  # pods that were told to wake, and have not
    demand: Mapping[str, Demand] = field(default_factory=dict)  # by backend, where the operator decides on replicas
    foreign: tuple[str, ...] = ()  # "Kind/name" of objects that have a child's name and another owner, or none

    def child(self, kind: str, name: str) -> KubeObject | None:
        """The live child of that kind and name."""
        return next((c for c in self.children if c["kind"] == kind and c["metadata"]["name"] == name), None)

    def replicas(self, backend: str) -> tuple[Pod, ...]:
        """The pods of a vllm backend."""
        return tuple(p for p in self.pods if p.component == "backend" and p.backend == backend)

    def routers(self) -> tuple[Pod, ...]:
        """The pods that run the route's snapshot."""
        return tuple(p for p in self.pods if p.component in ("router", "sidecar"))


def place(child: KubeObject) -> str:
    """``Kind/name``: where a child is in its ModelRoute's namespace, as refusals and logs have it, too."""
    return f"{child['kind']}/{child['metadata']['name']}"


def written_at(live: KubeObject | None) -> float:
    """When the operator last changed a child of which the cache keeps that, in Unix seconds; 0 when it is not known."""
    fields = live["metadata"].get("managedFields") or () if live else ()
    return max((unix(field.get("time")) or 0.0 for field in fields), default=0.0)
