"""What pods are to be asked or told, as values: made by ``plan``, run by the controller beside its reconciles.

An errand may take minutes. It is planned anew at every reconcile until what it brings about is seen; the controller
does not run one that is running. Never holds a secret.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Ask a replica for /health, then a small real request."""

    backend: str
    pod: str  # its name; of a Service's endpoint, which need not be a pod of this cluster: backend/host:port
    address: str  # host:port
    model: str
    prompt: str
    max_tokens: int
    timeout: float  # seconds
    slot: tuple[str, str] | None = None  # schedule (several of one moment: "a, b") and RFC 3339; None: a first one
    # When its containers became ready, by its node's clock: its answer opens the pod's gate, but no earlier than that.
    opens: float | None = None  # None: there is no gate to open


@dataclass(frozen=True, slots=True)
class CloseGate:
    """Take the readiness of a pod whose container was started again: it has to answer a first request again."""

    pod: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Set annotations of a pod; None takes one away."""

    pod: str
    annotations: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Sleep:
    """Have a replica put its weights away. Once for each mark and each start of its container. Unix seconds."""

    backend: str
    pod: str
    address: str
    marked: float = 0.0
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Wake:
    """Have a sleeping replica take its weights back, and answer a first request; then its mark goes."""

    warm_up: WarmUp


Errand = WarmUp | CloseGate | Mark | Sleep | Wake
