#!/usr/bin/env bash
# Says what runs, on which ports, and how to talk to it. Exit status: 0 the node is ready, 3 it is not.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$HERE/process.sh"

resident() { awk '/^VmRSS/ { print int($2 / 1000) }' "/proc/$1/status"; }

printf 'Kubernetes %s, CoreDNS %s, helm %s in %s\n' "$K8S_VERSION" "$COREDNS_VERSION" "$HELM_VERSION" "$CLUSTER_DIR"
for program in etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet kube-proxy coredns; do
  if alive "$program"; then
    read -r pid _ <"$RUN/$program.pid"
    printf '  %-24s pid %-8s %5s MB\n' "$program" "$pid" "$(resident "$pid")"
  else
    printf '  %-24s not running\n' "$program"
  fi
done
[ ! -f "$RUN/ports" ] || printf 'ports: %s\n' "$(tr '\n' ' ' <"$RUN/ports")"
alive kube-apiserver || { say "the cluster is down; start it with cluster/up.sh"; exit 3; }
printf 'export KUBECONFIG=%s\nprograms: %s\n' "$ADMIN_KUBECONFIG" "$BIN"
alive kubelet || { say "only the control plane runs; start the node with cluster/up.sh node"; exit 3; }
state=$(kc get node "$NODE_NAME" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') || exit 3
printf 'node %s ready: %s\n' "$NODE_NAME" "$state"
[ "$state" = True ] || exit 3
