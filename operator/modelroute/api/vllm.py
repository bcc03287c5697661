"""A vLLM that the operator runs, v1alpha1, as types: weights, image, GPUs, cache, and what pods need on their nodes.

Used by ``backends``, through which the other rooms reach all names here. Never says how many replicas there are.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from modelroute.api.base import LongText, Resource, Resources, doc, keyed, ordered
from modelroute.api.routers import SecretRef
from modelroute.api.scalars import (
    AdapterName,
    AdapterSource,
    DataKey,
    Duration,
    LabelKey,
    LabelValue,
    ObjectName,
    Quantity,
    ResourceName,
)

Argument = Annotated[str, Meta(max_length=4096)]
Seconds = Annotated[int, Meta(ge=0)]
Shards = Annotated[int, Meta(ge=1, le=64)]


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


class LoraAdapter(Resource, frozen=True):
    """An adapter that replicas serve beside the model."""

    name: Annotated[AdapterName, doc("The name by which requests ask for it.")]
    source: Annotated[
        AdapterSource, doc("Its weights: a name on the hub, or a path in the image or in the model cache.")
    ]


class Toleration(Resource, frozen=True):
    """A taint of nodes that replicas put up with, as in a pod."""

    key: Annotated[LabelKey | None, doc("The taint's key. Default: every key; with operator Exists.")] = None
    operator: Annotated[Literal["Equal", "Exists"], doc("Whether the taint's value matters.")] = "Equal"
    value: Annotated[LabelValue | None, doc("The taint's value, of operator Equal.")] = None
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None, doc("The taint's effect. Default: every effect.")
    ] = None
    toleration_seconds: Annotated[
        Seconds | None, doc("How long a replica stays, of effect NoExecute. Default: for ever.")
    ] = None


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
            "GPUs of a replica. More than one turns on tensor parallelism; 0 asks for none.",
            ge=0,
            le=64,
        ),
    ] = 1
    gpu_resource: Annotated[
        ResourceName,
        doc(
            "What nodes call their GPUs, such as amd.com/gpu or nvidia.com/mig-3g.40gb. A taint of this key is "
            "tolerated."
        ),
    ] = "nvidia.com/gpu"
    tensor_parallel: Annotated[
        Shards | None, doc("Over how many GPUs each layer is split (--tensor-parallel-size). Default: gpus.")
    ] = None
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
    image_pull_secrets: Annotated[
        tuple[SecretRef, ...], keyed("name", "Secrets of this namespace by which nodes pull the image.", 8)
    ] = ()
    hub_token_secret_ref: Annotated[
        SecretKeyRef | None,
        doc(
            "The token by which replicas load the weights from the hub: HF_TOKEN of the vLLM container, which alone "
            "reads it. A changed token is taken up at a replica's next start."
        ),
    ] = None
    node_selector: Annotated[dict[LabelKey, LabelValue], doc("Labels of the nodes that may run it.", max_length=32)] = (
        field(default_factory=dict)
    )
    tolerations: Annotated[
        tuple[Toleration, ...], ordered("Taints of nodes that replicas put up with, beside that of the GPUs.", 32)
    ] = ()
    lora_adapters: Annotated[
        tuple[LoraAdapter, ...],
        keyed(
            "name",
            "LoRA adapters that replicas serve beside the model. A backend whose `model` is an adapter's name answers "
            "by it. To have model and adapters answer apart, add for each adapter a backend, of this ModelRoute or of "
            "another one of the namespace, with that `model` and a targetRef to the Service ROUTE--BACKEND, port 8000. "
            "Ranks above vLLM's default need --max-lora-rank in args.",
            32,
        ),
    ] = ()
    pre_pull: Annotated[
        bool,
        doc(
            "Pull the image beforehand on every node that nodeSelector picks, and keep it there, by a DaemonSet whose "
            "pods only sleep. Needs nodeSelector: on all nodes the image would fill disks for nothing. While it is not "
            "on all of them, the status says in the backend's message on how many it is."
        ),
    ] = False
    template: Annotated[
        dict[str, Any],
        doc(
            "A pod template (metadata, spec) merged over the operator's: containers, volumes and variables by name, "
            "the container vllm being the operator's own. It takes volumes, variables, resources, security that only "
            "narrows, affinity, topologySpreadConstraints, priorityClassName, runtimeClassName, schedulerName, "
            "dnsConfig, and more containers; all else is refused, such as hostPath, privilege or another service "
            "account.",
            max_length=2,
            extra_json_schema={"x-kubernetes-preserve-unknown-fields": True},
        ),
    ] = field(default_factory=dict)
