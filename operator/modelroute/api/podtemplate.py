"""What a user's pod template may hold: what is declared here, and nothing else, since a pod can be a way to the node.

Read by ``podchecks``. An allow-list by types, so that a field which Kubernetes adds later is refused until somebody has
thought about it. Never merges a template: that is ``planning.template``.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from modelroute.api.base import Resources

_Text = Annotated[str, Meta(min_length=1)]
_User = Annotated[int, Meta(ge=1)]
_Group = Annotated[int, Meta(ge=0)]
_Mode = Annotated[int, Meta(ge=0, le=0o777)]
_Free = dict[str, Any]


class _Part(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The settings that all parts share."""


class _KeyOf(_Part, frozen=True):
    name: _Text
    key: _Text
    optional: bool = False


class _ObjectRef(_Part, frozen=True):
    name: _Text
    optional: bool = False


class _ValueFrom(_Part, frozen=True):
    config_map_key_ref: _KeyOf | None = None
    secret_key_ref: _KeyOf | None = None
    field_ref: _Free | None = None
    resource_field_ref: _Free | None = None


class _Variable(_Part, frozen=True):
    name: _Text
    value: str | None = None
    value_from: _ValueFrom | None = None


class _Variables(_Part, frozen=True):
    prefix: str = ""
    config_map_ref: _ObjectRef | None = None
    secret_ref: _ObjectRef | None = None


class _Mount(_Part, frozen=True):
    name: _Text
    mount_path: _Text
    read_only: bool = False
    sub_path: str = ""
    sub_path_expr: str = ""


class _Port(_Part, frozen=True):
    container_port: Annotated[int, Meta(ge=1, le=65535)]
    name: str = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


class _HTTPGet(_Part, frozen=True):
    port: int | str
    path: str = "/"
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    http_headers: tuple[_Free, ...] = ()


class _Socket(_Part, frozen=True):
    port: int | str


class _Command(_Part, frozen=True):
    command: tuple[str, ...]


class _GRPC(_Part, frozen=True):
    port: int
    service: str = ""


class _Probe(_Part, frozen=True):
    http_get: _HTTPGet | None = None
    exec: _Command | None = None
    tcp_socket: _Socket | None = None
    grpc: _GRPC | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3


class _Security(_Part, frozen=True):
    read_only_root_filesystem: bool | None = None
    run_as_user: _User | None = None
    run_as_group: _Group | None = None


class Container(_Part, frozen=True):
    """A container of a user's, or what a user says of ours."""

    name: _Text
    image: str | None = None
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    working_dir: str | None = None
    env: tuple[_Variable, ...] = ()
    env_from: tuple[_Variables, ...] = ()
    resources: Resources = Resources()
    volume_mounts: tuple[_Mount, ...] = ()
    ports: tuple[_Port, ...] = ()
    startup_probe: _Probe | None = None
    readiness_probe: _Probe | None = None
    liveness_probe: _Probe | None = None
    security_context: _Security = _Security()


class InitContainer(Container, frozen=True):
    """A container that runs, or begins to run, before the others."""

    restart_policy: Literal["Always"] | None = None


class _EmptyDir(_Part, frozen=True):
    medium: Literal["", "Memory"] = ""
    size_limit: str | None = None


class _ConfigMapVolume(_Part, frozen=True):
    name: _Text
    items: tuple[_Free, ...] = ()
    default_mode: _Mode | None = None
    optional: bool = False


class _SecretVolume(_Part, frozen=True):
    secret_name: _Text
    items: tuple[_Free, ...] = ()
    default_mode: _Mode | None = None
    optional: bool = False


class _Claim(_Part, frozen=True):
    claim_name: _Text
    read_only: bool = False


class _ProjectedFile(_Part, frozen=True):
    name: _Text
    items: tuple[_Free, ...] = ()
    optional: bool = False


class _Source(_Part, frozen=True):
    config_map: _ProjectedFile | None = None
    secret: _ProjectedFile | None = None
    downward: _Free | None = field(name="downwardAPI", default=None)


class _Projected(_Part, frozen=True):
    sources: tuple[_Source, ...]
    default_mode: _Mode | None = None


class _Volume(_Part, frozen=True):
    name: _Text
    empty_dir: _EmptyDir | None = None
    config_map: _ConfigMapVolume | None = None
    secret: _SecretVolume | None = None
    persistent_volume_claim: _Claim | None = None
    projected: _Projected | None = None
    downward: _Free | None = field(name="downwardAPI", default=None)


class _PodSecurity(_Part, frozen=True):
    run_as_user: _User | None = None
    run_as_group: _Group | None = None
    fs_group: _Group | None = None
    fs_group_change_policy: Literal["Always", "OnRootMismatch"] | None = None
    supplemental_groups: tuple[_Group, ...] = ()


class Pod(_Part, frozen=True):
    """What a user says of the pod."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[InitContainer, ...] = ()
    volumes: tuple[_Volume, ...] = ()
    security_context: _PodSecurity = _PodSecurity()
    affinity: _Free | None = None
    topology_spread_constraints: tuple[_Free, ...] = ()
    priority_class_name: _Text | None = None
    runtime_class_name: _Text | None = None
    scheduler_name: _Text | None = None
    dns_config: _Free | None = None


class _Metadata(_Part, frozen=True):
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class PodTemplate(_Part, frozen=True):
    """A user's pod template."""

    metadata: _Metadata = _Metadata()
    spec: Pod = Pod()
