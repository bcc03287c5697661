"""Manifests of what the operator runs: good ones, mistakes that the API server tells, those that parse alone sees."""

from typing import Any

from tests.fakes.manifests import HOSTED, VLLM, Mistake, backends, vllm

_AT = "spec.backends[0].vllm"


def scaled(**fields: Any) -> dict[str, Any]:
    return {"backends": [VLLM | {"scaling": fields}]}


def template(**spec: Any) -> dict[str, Any]:
    """A vLLM whose pod template has this spec."""
    return vllm(template={"spec": spec})


def main(**fields: Any) -> dict[str, Any]:
    """A pod template that says this of our container."""
    return template(containers=[{"name": "vllm", **fields}])


GOOD: dict[str, dict[str, Any]] = {
    "a fraction of a GPU": vllm(gpuResource="nvidia.com/mig-3g.40gb"),
    "GPUs that do not all share a layer": vllm(gpus=4, tensorParallel=2),
    "layers shared by CPUs": vllm(gpus=0, tensorParallel=2),
    "an image of a private registry": vllm(imagePullSecrets=[{"name": "registry"}, {"name": "mirror"}]),
    "a token of the hub": vllm(hubTokenSecretRef={"name": "hub", "key": "token"}),
    "nodes and their taints": vllm(
        nodeSelector={"nvidia.com/gpu.product": "H100", "zone": ""},
        tolerations=[
            {"key": "spot", "value": "true", "effect": "NoExecute", "tolerationSeconds": 60},
            {"operator": "Exists"},
        ],
    ),
    "adapters": backends(
        {
            "model": "sql",
            "vllm": {
                "model": "org/m",
                "loraAdapters": [{"name": "sql", "source": "org/sql"}, {"name": "fr:1", "source": "/cache/fr"}],
            },
        }
    ),
    "an image pulled beforehand": vllm(prePull=True, nodeSelector={"gpu": "yes"}),
    "an autoscaler of the cluster": scaled(engine="HPA", maxReplicas=4, metric="vllm_queue"),
    "an autoscaler of KEDA": scaled(
        engine="KEDA", minReplicas=0, maxReplicas=4, serverAddress="http://prometheus.monitoring.svc:9090"
    ),
    "the longest look back": scaled(engine="KEDA", maxReplicas=2, scaleDown={"stabilization": "60m"}),
    "a longer look back of ours": scaled(scaleDown={"stabilization": "2h"}),
    "someone else's scaling": scaled(engine="External", minReplicas=0),
    "a pod template": vllm(
        template={
            "metadata": {
                "labels": {"team": "a", "kueue.x-k8s.io/queue-name": "gpus"},
                "annotations": {"prometheus.io/scrape": "true"},
            },
            "spec": {
                "containers": [
                    {
                        "name": "vllm",
                        "env": [
                            {"name": "A", "value": ""},
                            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                        ],
                        "envFrom": [{"configMapRef": {"name": "c"}}],
                        "resources": {"limits": {"rdma/ib": "1"}},
                        "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
                        "securityContext": {"readOnlyRootFilesystem": False, "runAsUser": 1000},
                    },
                    {
                        "name": "logs",
                        "image": "logs:1",
                        "ports": [{"containerPort": 9000}],
                        "readinessProbe": {"httpGet": {"path": "/", "port": 9000}},
                    },
                ],
                "initContainers": [{"name": "fetch", "image": "fetch:1", "command": ["fetch"]}],
                "volumes": [
                    {"name": "data", "persistentVolumeClaim": {"claimName": "d"}},
                    {"name": "more", "projected": {"sources": [{"secret": {"name": "p"}}]}},
                    {
                        "name": "own",
                        "downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]},
                    },
                ],
                "securityContext": {"fsGroup": 0, "supplementalGroups": [7]},
                "affinity": {"nodeAffinity": {}},
                "priorityClassName": "batch",
                "runtimeClassName": "nvidia",
                "schedulerName": "volcano",
            },
        }
    ),
}

MISTAKES = {
    "a GPU without a vendor": Mistake(vllm(gpuResource="gpu"), f"{_AT}.gpuResource", '"gpu" is not the name of a res'),
    "more shards than GPUs": Mistake(
        vllm(gpus=2, tensorParallel=4), f"{_AT}.tensorParallel", "tensorParallel is above gpus"
    ),
    "an image pulled everywhere": Mistake(vllm(prePull=True), f"{_AT}.prePull", "prePull needs nodeSelector"),
    "a node's label that cannot be": Mistake(
        vllm(nodeSelector={"ok": "1", "a b": "1"}), f"{_AT}.nodeSelector.a b", '"a b" is not the key of a label'
    ),
    "a node's value that cannot be": Mistake(
        vllm(nodeSelector={"a": "b c"}), f"{_AT}.nodeSelector.a", '"b c" is not the value of a label'
    ),
    "a taint of no key": Mistake(vllm(tolerations=[{"value": "x"}]), f"{_AT}.tolerations[0]", "without a key"),
    "a value of any value": Mistake(
        vllm(tolerations=[{"key": "a", "operator": "Exists", "value": "x"}]),
        f"{_AT}.tolerations[0].value",
        "goes with operator Equal",
    ),
    "seconds of no effect": Mistake(
        vllm(tolerations=[{"key": "a", "tolerationSeconds": 1}]),
        f"{_AT}.tolerations[0].tolerationSeconds",
        "goes with effect NoExecute",
    ),
    "an adapter that is a flag": Mistake(
        vllm(loraAdapters=[{"name": "--x", "source": "a"}]), f"{_AT}.loraAdapters[0].name", "is not a model's name"
    ),
    "an adapter from a flag": Mistake(
        vllm(loraAdapters=[{"name": "x", "source": "a=b"}]), f"{_AT}.loraAdapters[0].source", "is not a name on the hub"
    ),
    "an adapter of the model's name": Mistake(
        vllm(loraAdapters=[{"name": "small", "source": "a"}]), f"{_AT}.loraAdapters", "has the backend's name"
    ),
    "one adapter twice": Mistake(
        vllm(loraAdapters=[{"name": "a", "source": "b"}] * 2), f"{_AT}.loraAdapters[1]", '"a" is there twice'
    ),
    "one pull secret twice": Mistake(
        vllm(imagePullSecrets=[{"name": "a"}] * 2), f"{_AT}.imagePullSecrets[1]", '"a" is there twice'
    ),
    "an autoscaler that cannot go to zero": Mistake(
        scaled(engine="HPA", minReplicas=0), "spec.backends[0].scaling.minReplicas", "keeps one replica at least"
    ),
    "an autoscaler that looks back too far": Mistake(
        scaled(engine="HPA", scaleDown={"stabilization": "61m"}),
        "spec.backends[0].scaling.scaleDown.stabilization",
        "an hour at most",
    ),
    "one that waits too long": Mistake(
        scaled(engine="KEDA", scaleUp={"stabilization": "3601s"}),
        "spec.backends[0].scaling.scaleUp.stabilization",
        "an hour at most",
    ),
    "a metric of nobody": Mistake(scaled(metric="x"), "spec.backends[0].scaling.metric", "goes with engine HPA"),
    "a Prometheus of nobody": Mistake(
        scaled(serverAddress="http://p.m.svc"), "spec.backends[0].scaling.serverAddress", "goes with engine KEDA"
    ),
    "a Prometheus that is this machine": Mistake(
        scaled(engine="KEDA", serverAddress="http://127.0.0.1:9090"),
        "spec.backends[0].scaling.serverAddress",
        "may not be this machine",
    ),
    "an engine for a hosted API": Mistake(
        {"backends": [HOSTED | {"scaling": {"engine": "KEDA"}}]}, "spec.backends[0].scaling", "only a vllm backend"
    ),
    "a template of something else": Mistake(
        vllm(template={"a": {}, "b": {}, "c": {}}), f"{_AT}.template", "length <= 2"
    ),
}

_SPEC = f"{_AT}.template.spec"
_VOLUME, _MAIN = f"{_SPEC}.volumes[0]", f"{_SPEC}.containers[0]"


def _volume(**source: Any) -> dict[str, Any]:
    return template(volumes=[{"name": "v", **source}])


HIDDEN = {
    "the node's files": Mistake(_volume(hostPath={"path": "/"}), _VOLUME, '"hostPath": a replica does not get into'),
    "a driver's volume": Mistake(_volume(csi={"driver": "x"}), _VOLUME, '"csi"; here are configMap, downwardAPI,'),
    "another server's files": Mistake(_volume(nfs={"server": "x", "path": "/"}), _VOLUME, 'cannot set "nfs"'),
    "a token of an account": Mistake(
        _volume(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}),
        f"{_VOLUME}.projected.sources[0]",
        '"serviceAccountToken": a replica has no account',
    ),
    "the node's network": Mistake(template(hostNetwork=True), _SPEC, '"hostNetwork": a replica does not get into'),
    "the node's processes": Mistake(template(hostPID=True), _SPEC, 'cannot set "hostPID"'),
    "the node's memory": Mistake(template(hostIPC=True), _SPEC, 'cannot set "hostIPC"'),
    "the node's users": Mistake(template(hostUsers=True), _SPEC, 'cannot set "hostUsers"'),
    "a node": Mistake(template(nodeName="n"), _SPEC, '"nodeName": the scheduler chooses the node'),
    "an account": Mistake(template(serviceAccountName="x"), _SPEC, '"serviceAccountName": a replica has no account'),
    "an account by its old name": Mistake(template(serviceAccount="x"), _SPEC, 'cannot set "serviceAccount"'),
    "an account's token": Mistake(template(automountServiceAccountToken=True), _SPEC, "a replica has no account"),
    "a selector": Mistake(template(nodeSelector={}), _SPEC, '"nodeSelector": it is vllm.nodeSelector'),
    "a gate": Mistake(template(readinessGates=[]), _SPEC, '"readinessGates": they are the operator\'s'),
    "an ephemeral container": Mistake(template(ephemeralContainers=[]), _SPEC, 'cannot set "ephemeralContainers"'),
    "the cluster's priority": Mistake(
        template(priorityClassName="system-node-critical"), f"{_SPEC}.priorityClassName", "the cluster's own pods"
    ),
    "Secrets without end": Mistake(
        template(volumes=[{"name": f"v{i}", "secret": {"secretName": f"s{i}"}} for i in range(33)]),
        _SPEC,
        "it names 33 Secrets, 32 at most",
    ),
    "an unconfined pod": Mistake(
        template(securityContext={"seccompProfile": {"type": "Unconfined"}}), f"{_SPEC}.securityContext", "seccomp"
    ),
    "root": Mistake(template(securityContext={"runAsUser": 0}), f"{_SPEC}.securityContext.runAsUser", ">= 1"),
    "perhaps root": Mistake(
        template(securityContext={"runAsNonRoot": False}), f"{_SPEC}.securityContext", "it is true already"
    ),
    "kernel settings": Mistake(template(securityContext={"sysctls": []}), f"{_SPEC}.securityContext", '"sysctls"'),
    "a privileged container": Mistake(
        main(securityContext={"privileged": True}), f"{_MAIN}.securityContext", '"privileged": a replica gets no rights'
    ),
    "root in a container": Mistake(
        main(securityContext={"runAsUser": 0}), f"{_MAIN}.securityContext.runAsUser", ">= 1"
    ),
    "a container that rises": Mistake(
        main(securityContext={"allowPrivilegeEscalation": True}), f"{_MAIN}.securityContext", "gets no rights"
    ),
    "a capability": Mistake(
        main(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}), f"{_MAIN}.securityContext", "all are dropped"
    ),
    "all of /proc": Mistake(
        main(securityContext={"procMount": "Unmasked"}), f"{_MAIN}.securityContext", 'cannot set "procMount"'
    ),
    "another program in an init container": Mistake(
        template(initContainers=[{"name": "i", "image": "x", "securityContext": {"privileged": True}}]),
        f"{_SPEC}.initContainers[0].securityContext",
        "gets no rights",
    ),
    "a port of the node": Mistake(
        template(containers=[{"name": "s", "image": "x", "ports": [{"containerPort": 1, "hostPort": 1}]}]),
        f"{_MAIN}.ports[0]",
        '"hostPort": a replica does not get into its node',
    ),
    "a probe of another host": Mistake(
        template(containers=[{"name": "s", "image": "x", "livenessProbe": {"httpGet": {"port": 1, "host": "h"}}}]),
        f"{_MAIN}.livenessProbe.httpGet",
        'cannot set "host"',
    ),
    "a mount that spreads": Mistake(
        main(volumeMounts=[{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]),
        f"{_MAIN}.volumeMounts[0]",
        'cannot set "mountPropagation"',
    ),
    "a device": Mistake(main(volumeDevices=[]), _MAIN, 'cannot set "volumeDevices"'),
    "a hook": Mistake(main(lifecycle={}), _MAIN, '"lifecycle": replicas end as vllm.drainTimeout says'),
    "our image": Mistake(main(image="x"), f"{_MAIN}.image", "it is vllm.image"),
    "our probe": Mistake(main(livenessProbe={"exec": {"command": []}}), f"{_MAIN}.livenessProbe", "the operator's"),
    "our port": Mistake(main(ports=[{"containerPort": 1}]), f"{_MAIN}.ports", "it is the operator's"),
    "a container without an image": Mistake(template(containers=[{"name": "s"}]), _MAIN, "has no image"),
    "another port of our name": Mistake(
        template(containers=[{"name": "s", "image": "x", "ports": [{"name": "http", "containerPort": 1}]}]),
        f"{_MAIN}.ports[0]",
        "is that of the container vllm",
    ),
    "two containers of a name": Mistake(
        template(containers=[{"name": "s", "image": "x"}] * 2), f"{_SPEC}.containers[1].name", '"s" is there twice'
    ),
    "ours before itself": Mistake(
        template(initContainers=[{"name": "vllm", "image": "x"}]), f"{_SPEC}.initContainers[0].name", "there twice"
    ),
    "a label of ours": Mistake(
        vllm(template={"metadata": {"labels": {"modelroute.dev/route": "x"}}}),
        f"{_AT}.template.metadata.labels.modelroute.dev/route",
        "other software may act on it",
    ),
    "an injector's annotation": Mistake(
        vllm(template={"metadata": {"annotations": {"sidecar.istio.io/userVolume": "[]"}}}),
        f"{_AT}.template.metadata.annotations.sidecar.istio.io/userVolume",
        "other software may act on it",
    ),
    "a number of replicas": Mistake(vllm(template={"replicas": 2}), f"{_AT}.template", "it is scaling.minReplicas"),
    "a value that is no text": Mistake(
        main(env=[{"name": "A", "value": 1}]), f"{_MAIN}.env[0].value", "expected a string, got a whole number"
    ),
    "an amount that is none": Mistake(
        main(resources={"limits": {"cpu": "a lot"}}), f"{_MAIN}.resources.limits.cpu", '"a lot" is not a quantity'
    ),
}
"""Mistakes within a pod template, which the API server takes as it is."""
