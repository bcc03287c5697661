"""A vLLM that the operator runs, v1alpha1, as types: weights, image, GPUs, cache, and what pods need on their nodes.

Used by ``backends``, through which the other rooms reach all names here. Never says how many replicas there are.
"""

from typing import Annotated, Literal

from msgspec import Meta

from modelroute.api.base import LongText, Resource, Resources, doc, ordered
from modelroute.api.scalars import DataKey, Duration, ObjectName, Quantity

Argument = Annotated[str, Meta(max_length=4096)]


class SecretKeyRef(Resource, frozen=True):
    """A key of a Secret of this namespace."""

    name: Annotated[ObjectName, doc("The Secret's name.")]
    key: Annotated[DataKey, doc("The key in the Secret.")] = "api-key"


class ModelCache(Resource, frozen=True):
    """Where the weights are kept between starts. One of claimName and size."""

    claim_name: Annotated[ObjectName | None, doc("An existing PersistentVolumeClaim of this namespace.")] = None
    size: Annotated[Quantity | None, doc("The size of a claim that the operator makes, such as 100Gi.")] = None
    storage_class_name: Annotated[ObjectName | None, doc("The storage class. Default: the cluster's.")] = None
    access_mode: Annotated[
        Literal["ReadWriteOnce", "ReadWriteMany"],
        doc("ReadWriteMany lets replicas on several nodes share the claim."),
    ] = "ReadWriteOnce"


class VLLM(Resource, frozen=True):
    """A vLLM deployment that the operator owns: a Deployment and a Service."""

    model: Annotated[
        LongText, doc("The weights: a model's name on the hub, or a path in the image or in the model cache.")
    ]
    image: Annotated[LongText, doc("The vLLM image.")] = "vllm/vllm-openai:v0.33.0"
    args: Annotated[
        tuple[Argument, ...], ordered("More arguments to `vllm serve`, such as --max-model-len=8192.", 64)
    ] = ()
    gpus: Annotated[
        int,
        doc(
            "GPUs of a replica (nvidia.com/gpu). More than one turns on tensor parallelism; 0 asks for none.",
            ge=0,
            le=64,
        ),
    ] = 1
    resources: Annotated[Resources, doc("CPU and memory of one replica.")] = Resources()
    model_cache: Annotated[
        ModelCache | None,
        doc("Where the weights are kept. Without it each replica downloads them at each start."),
    ] = None
    shared_memory: Annotated[Quantity, doc("The size of /dev/shm, which vLLM's workers talk through.")] = "2Gi"
    startup_timeout: Annotated[
        Duration, doc("The longest start, loading of the weights included, before the replica is restarted.")
    ] = "20m"
    drain_timeout: Annotated[Duration, doc("How long running answers may go on when a replica is told to end.")] = "60s"
