"""Write the go.mod and go.sum from which every binary of the cluster is compiled.

Called by build.sh: `modules.py DIRECTORY KUBERNETES COREDNS HELM`, with DIRECTORY/kubernetes.json being what
`go mod download -json` said about k8s.io/kubernetes. It reaches no network.

Kubernetes' go.mod cannot be used as a dependency: its staging modules (k8s.io/api and the like) are replaced by
directories of its own tree. Here they are replaced by their published versions, and every other version that Kubernetes
pins is forced upon CoreDNS and helm as well. They ask for slightly newer ones here and there and do without; in return
everything they share with Kubernetes is compiled once (helm: 37 CPU seconds instead of 197).
"""

import json
import re
import sys
from pathlib import Path

STAGING = re.compile(r"^\s*(\S+) => \./staging/", re.MULTILINE)
REQUIRED = re.compile(r"^\t(\S+) (v\S+)", re.MULTILINE)
DIRECTIVE = re.compile(r"^(?:go|godebug) .*$", re.MULTILINE)
# Examples for writers of API servers and controllers: nothing imports them, and some releases never reach the proxy.
EXAMPLES = "k8s.io/sample-"
# CoreDNS needs a newer one than Kubernetes' tree knows of.
UNFORCED = {"github.com/coredns/caddy"}


def block(name: str, lines: list[str]) -> str:
    """One parenthesised section of a go.mod."""
    return "\n".join([f"{name} (", *(f"\t{line}" for line in lines), ")", ""])


def compose(kubernetes_mod: str, kubernetes: str, coredns: str, helm: str) -> str:
    """The go.mod for all binaries, from the text of Kubernetes' own and the three versions (without the `v`)."""
    staging = {module for module in STAGING.findall(kubernetes_mod) if not module.startswith(EXAMPLES)}
    published = "v0." + kubernetes.removeprefix("1.")
    pins = {
        module: version
        for module, version in REQUIRED.findall(kubernetes_mod)
        if module not in staging and not module.startswith(EXAMPLES)
    }
    wanted = {
        "k8s.io/kubernetes": f"v{kubernetes}",
        "github.com/coredns/coredns": f"v{coredns}",
        "helm.sh/helm/v3": f"v{helm}",
        **dict.fromkeys(sorted(staging), published),
        **pins,
    }
    forced = {module: version for module, version in wanted.items() if module in staging or module in pins}
    return "\n".join(
        [
            "module cluster.local/binaries",
            *DIRECTIVE.findall(kubernetes_mod),
            block("require", [f"{module} {version}" for module, version in wanted.items()]),
            block("replace", [f"{m} => {m} {v}" for m, v in forced.items() if m not in UNFORCED]),
        ]
    )


def main() -> None:
    """Write both files into the directory given as the first argument."""
    directory, versions = Path(sys.argv[1]), sys.argv[2:]
    download = json.loads((directory / "kubernetes.json").read_text())
    (directory / "go.mod").write_text(compose(Path(download["GoMod"]).read_text(), *versions))
    (directory / "go.sum").write_text((Path(download["Dir"]) / "go.sum").read_text())


if __name__ == "__main__":
    main()
