"""`./dev demo`: from nothing to questions answered through a ModelRoute on a real cluster, each stage with its time.

Every stage can be run again: what is there already is found and kept. ``--stop`` takes away what the demo made.
"""

import argparse
import hashlib
import os
import sys
import time
from functools import cached_property
from pathlib import Path

from demo import ask
from demo.progress import Stage, StageError, Stages, evaluated
from demo.reach import reachable

ROOT = Path(__file__).resolve().parents[1]
RELEASE = NAMESPACE = "modelroute-system"
CLUSTER_DIR = Path(os.environ.get("CLUSTER_DIR", Path.home() / ".cache/modelroute-cluster"))
PATIENCE = {"quickstart": 180, "quickstart-vllm": 900}
"""Seconds until a route counts as stuck; a real vLLM imports for minutes on a busy machine."""


class Demo:
    """One run; each method is a stage and returns what the person sees beside its time."""

    def __init__(self, context: str | None, example: str) -> None:
        """Use the kube ``context`` if one is named, and ``examples/<example>.yaml``."""
        self.context = context
        self.example = example
        self.provider = self.kubeconfig = ""
        self.kube: list[str] = []
        self.helm: list[str] = []

    def cluster(self, stage: Stage) -> str:
        """A cluster: the one named, else kind, else one compiled here."""
        arguments = ["--context", self.context] if self.context else []
        found = evaluated(
            stage.run(ROOT / "cluster/provider.sh", *arguments), ("PROVIDER", "KUBECONFIG", "KUBE_CONTEXT")
        )
        self.provider = found["PROVIDER"]
        self.use(found["KUBECONFIG"], found["KUBE_CONTEXT"])
        return f"{self.provider} {found['KUBE_CONTEXT']}"

    def use(self, kubeconfig: str, context: str) -> None:
        """Direct kubectl and helm at one cluster and no other."""
        os.environ["PATH"] = f"{CLUSTER_DIR / 'bin'}:{os.environ['PATH']}"
        os.environ["KUBECONFIG"] = self.kubeconfig = kubeconfig  # may be a list of files, which no flag takes
        self.kube = ["kubectl", "--context", context]
        self.helm = ["helm", "--kube-context", context]

    def images(self, stage: Stage) -> str:
        """The images, each tagged by what it is made of, so that a change is rolled out and nothing else is."""
        engine = "vllm-cpu" if self.example == "quickstart-vllm" else "vllm-standin"
        for name in ("operator", "router"):
            stage.say(f"building {name}")
            self._image(stage, f"modelroute/{name}:{self.tag}", ROOT, f"images/{name}/Dockerfile")
        for name in sorted({"vllm-standin", engine}):
            stage.say(f"building {name}")
            self._image(stage, f"modelroute/{name}:dev", ROOT / "images" / name, f"images/{name}/Dockerfile")
        return f"operator, router, {engine}"

    def _image(self, stage: Stage, tag: str, context: Path, file: str) -> None:
        environment = os.environ | {"PROVIDER": self.provider, "KUBE_CONTEXT": self.kube[-1]}
        stage.run(ROOT / "cluster/image.sh", "build", tag, context, ROOT / file, env=environment)

    @cached_property
    def tag(self) -> str:
        """A name for the content of the operator's and the router's image."""
        digest = hashlib.sha256()
        folders = ("operator/modelroute", "images/operator", "images/router", "requirements")
        for path in sorted(p for f in folders for p in (ROOT / f).rglob("*") if p.is_file()):
            if "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
        return f"dev-{digest.hexdigest()[:12]}"

    def install(self, stage: Stage) -> str:
        """The chart, by helm."""
        tags = [f"--set=image.{name}.tag={self.tag}" for name in ("operator", "router")]
        chart = str(ROOT / "charts/modelroute")
        stage.run(
            *self.helm,
            "upgrade",
            "--install",
            RELEASE,
            chart,
            "--namespace",
            NAMESPACE,
            "--create-namespace",
            "--wait",
            "--timeout=180s",
            *tags,
        )
        return f"release {RELEASE} in namespace {NAMESPACE}"

    def apply(self, stage: Stage) -> str:
        """The example, until it is Ready."""
        stage.run(*self.kube, "apply", "-f", ROOT / f"examples/{self.example}.yaml")
        limit = time.monotonic() + PATIENCE[self.example]
        self._roll_out(stage)
        while time.monotonic() < limit:
            ready = '.status.conditions[?(@.type=="Ready")]'
            path = f"jsonpath={{{ready}.status}}|{{{ready}.message}}"
            status, _, message = stage.run(*self.kube, "-n", "demo", "get", "mroute", "chat", "-o", path).partition("|")
            stage.say(message or "waiting for the operator")
            if status == "True":
                return f"ModelRoute demo/chat is Ready: {message}"
            time.sleep(1)
        self._why_not(stage)
        raise StageError(
            f"ModelRoute demo/chat is not Ready after {PATIENCE[self.example]} s: {message}",
            "look at `kubectl -n demo describe mroute chat` and `kubectl -n demo get pods`",
        )

    def _roll_out(self, stage: Stage) -> None:
        """After a run with the other example its engine answers until the new one is there."""
        child = "deployment/chat--small"
        stage.run(*self.kube, "-n", "demo", "wait", "--for=create", child, "--timeout=60s")
        command = ("-n", "demo", "rollout", "status", child, f"--timeout={PATIENCE[self.example]}s")
        stage.run(*self.kube, *command)

    def _why_not(self, stage: Stage) -> None:
        stage.run(*self.kube, "-n", "demo", "describe", "mroute,pods")

    def uninstall(self, stage: Stage) -> str:
        """What the demo put into a cluster that is not its own."""
        stage.run(*self.kube, "delete", "-f", ROOT / f"examples/{self.example}.yaml", "--ignore-not-found")
        stage.run(*self.helm, "uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait")
        stage.run(*self.kube, "delete", "crd", "modelroutes.modelroute.dev", "--ignore-not-found")
        stage.run(*self.kube, "delete", "namespace", NAMESPACE, "--ignore-not-found")
        return "release, example, CRD and namespaces are gone"

    def remove(self, stage: Stage) -> str:
        """Everything that the demo made."""
        arguments = ["--context", self.context] if self.context else []
        return stage.run(ROOT / "cluster/provider.sh", "stop", *arguments).strip().rsplit("\n", 1)[-1]


def start(demo: Demo, stages: Stages) -> None:
    """All stages, then the questions."""
    stages.do("cluster", demo.cluster, "`./dev cluster status` says what runs; `./dev cluster down wipe` starts clean")
    stages.do("images", demo.images, "check the network to the package registries, then run this again")
    stages.do(
        "helm install",
        demo.install,
        f"`kubectl -n {NAMESPACE} get pods` and `kubectl -n {NAMESPACE} logs deploy/modelroute-operator` tell more",
    )
    stages.do(f"examples/{demo.example}.yaml", demo.apply, "`kubectl -n demo get pods` tells what it waits for")
    engine = (
        "the real vLLM on the CPU, with a tiny random model: expect noise"
        if demo.example == "quickstart-vllm"
        else ("a stand-in that speaks as vLLM does (`--vllm` runs the real one)")
    )
    print(f" the self-hosted backend is {engine}")
    with reachable(demo.kube, demo.provider) as base_url:
        ask.everything(base_url)
    path = f"PATH={CLUSTER_DIR / 'bin'}:$PATH"
    print(f" here: export KUBECONFIG={demo.kubeconfig} {path}; kubectl config use-context {demo.kube[-1]}")
    print(" try: kubectl get mroute -n demo · kubectl explain modelroute.spec · ./dev demo --stop")


def stop(demo: Demo, stages: Stages) -> None:
    """Take everything away."""
    if demo.context:
        stages.do("cluster", demo.cluster, "is the context still there? `kubectl config get-contexts`")
        stages.do("helm uninstall", demo.uninstall, "`helm list -A` tells what is left")
    stages.do("stop", demo.remove, "`./dev cluster down wipe` does the same by hand")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--context", help="use this kube context rather than a cluster of the demo's own")
    parser.add_argument("--vllm", action="store_true", help="the real vLLM on the CPU, with a tiny model")
    parser.add_argument("--stop", action="store_true", help="take away everything that the demo made")
    args = parser.parse_args()
    demo = Demo(args.context, "quickstart-vllm" if args.vllm else "quickstart")
    stages = Stages(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "modelroute-demo.log")
    (stop if args.stop else start)(demo, stages)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; run the same command again, it goes on where it stopped")
