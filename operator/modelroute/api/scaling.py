"""Replicas, v1alpha1, as types: who decides how many there are, by what, what becomes of idle ones, what warms them.

Used by ``backends`` and ``types``, through which the other rooms reach all names here. Never says how one is made.
"""

from typing import Annotated, Literal

from msgspec import Meta

from modelroute.api.base import LongText, Resource, doc, keyed, unique
from modelroute.api.scalars import BaseURL, ClockTime, Cron, Duration, Name, TimeZone

Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
Replicas = Annotated[int, Meta(ge=0, le=1000)]
Most = Annotated[int, Meta(ge=1, le=1000)]


class Idle(Resource, frozen=True):
    """What becomes of replicas that nobody asks; those of minReplicas and of schedules always stay awake."""

    after: Annotated[
        Duration,
        doc(
            "How long a backend must have had no request, a minute at least; scaleDown.stabilization does not come on "
            "top of it."
        ),
    ] = "30m"
    action: Annotated[
        Literal["None", "Sleep", "ScaleToZero"],
        doc(
            "ScaleToZero: the last replica goes, too, where minReplicas is 0. Sleep: replicas stay, with their weights "
            "out of the GPU (vLLM's sleep mode), and wake in seconds. None: one replica stays awake."
        ),
    ] = "ScaleToZero"


class ScaleUp(Resource, frozen=True):
    """How more replicas come."""

    stabilization: Annotated[
        Duration, doc("More replicas come when more were wanted all this time. A burst does not wait for it.")
    ] = "0s"


class ScaleDown(Resource, frozen=True):
    """How replicas go."""

    stabilization: Annotated[Duration, doc("Replicas go when they were not wanted at any time of it.")] = "5m"
    drain_timeout: Annotated[
        Duration, doc("How long a replica that is to go, and gets no new requests, has for those that it answers.")
    ] = "5m"


class Scaling(Resource, frozen=True):
    """How many replicas there are, and who decides."""

    engine: Annotated[
        Literal["BuiltIn", "HPA", "KEDA", "External"],
        doc(
            "Who writes the number of replicas. BuiltIn: the operator, by what routers have in flight and waiting. "
            "HPA, KEDA: an autoscaler that the operator makes. External: someone else, by the Deployment's scale "
            "subresource; the operator sets the first number alone."
        ),
    ] = "BuiltIn"
    min_replicas: Annotated[int, doc("Replicas that are kept, always.", ge=0, le=1000)] = 1
    max_replicas: Annotated[
        Most | None, doc("The most replicas that load may bring. Default: minReplicas, so that load brings none.")
    ] = None
    target_in_flight: Annotated[
        int, doc("Requests, those that wait among them, that one replica should have.", ge=1, le=100_000)
    ] = 8
    tolerance_percent: Annotated[
        int, doc("How far the load may be off the target before the number changes.", ge=0, le=100)
    ] = 10
    panic_percent: Annotated[
        int,
        doc(
            "A burst: so many percent of what the replicas should have, over six seconds, brings more at once, and "
            "none go for a minute.",
            ge=110,
            le=1000,
        ),
    ] = 200
    scale_up: Annotated[ScaleUp, doc("How more replicas come.")] = ScaleUp()
    scale_down: Annotated[ScaleDown, doc("How replicas go.")] = ScaleDown()
    idle: Annotated[Idle, doc("What becomes of replicas that nobody asks.")] = Idle()
    metric: Annotated[
        LongText | None,
        doc(
            "Of HPA: the name of a pod metric that the cluster's metrics adapter serves. Default: "
            "vllm_num_requests_running."
        ),
    ] = None
    server_address: Annotated[
        BaseURL | None,
        doc(
            "Of KEDA: Prometheus' address, such as http://prometheus.monitoring.svc:9090. Default: the installation's."
        ),
    ] = None

    @property
    def most(self) -> int:
        """The most replicas that load may bring."""
        return self.min_replicas if self.max_replicas is None else self.max_replicas


class WarmupRequest(Resource, frozen=True):
    """A small real request."""

    prompt: Annotated[str, doc("What is asked.", min_length=1, max_length=4096)] = "ping"
    max_tokens: Annotated[int, doc("The answer's length, in tokens.", ge=1, le=1024)] = 1
    timeout: Annotated[Duration, doc("The longest that the answer may take.")] = "60s"


class WarmupSchedule(Resource, frozen=True):
    """When all ready replicas are warmed up."""

    name: Annotated[Name, doc("Names it in the status and in Events.")]
    cron: Annotated[Cron, doc("Minute, hour, day of month, month, day of week, such as 45 7 * * 1-5.")]
    time_zone: Annotated[TimeZone, doc("The IANA time zone in which it is read.")] = "UTC"


class Warmup(Resource, frozen=True):
    """What a replica answers before clients ask it, and now and then after that."""

    readiness_gate: Annotated[
        bool,
        doc(
            "A new replica gets no request before it has answered a first one of the operator's, by a readiness gate "
            "of its pod. Of a vllm backend."
        ),
    ] = True
    request: Annotated[WarmupRequest, doc("What follows on /health: a small real request.")] = WarmupRequest()
    schedules: Annotated[
        tuple[WarmupSchedule, ...], keyed("name", "When every ready replica is asked for /health and the request.", 16)
    ] = ()
    on_missed: Annotated[
        Literal["Skip", "RunOnce"],
        doc(
            "What becomes of a slot that could not begin within a minute, such as while the operator was down. "
            "RunOnce: the newest one missed is made up for."
        ),
    ] = "Skip"


class Schedule(Resource, frozen=True):
    """A window of time in which more replicas are kept. Of several at once the highest number counts."""

    name: Annotated[Name, doc("Names it in the status and in Events.")]
    min_replicas: Annotated[
        dict[Name, Replicas], doc("Replicas that are kept meanwhile, by vllm backend.", min_length=1, max_length=32)
    ]
    start: Annotated[ClockTime | None, doc("When it begins, such as 07:30; with end.")] = None
    end: Annotated[
        ClockTime | None, doc("When it ends, such as 19:00; one that is not after start is of the next day.")
    ] = None
    days: Annotated[tuple[Day, ...], unique("The days on which it begins. Default: all.", 7)] = ()
    cron: Annotated[Cron | None, doc("When it begins, instead of start, end and days; with duration.")] = None
    duration: Annotated[Duration | None, doc("How long it lasts; with cron.")] = None
    time_zone: Annotated[TimeZone, doc("The IANA time zone in which it is read.")] = "UTC"
