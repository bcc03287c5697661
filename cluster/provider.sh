#!/usr/bin/env bash
# Chooses a cluster, brings it up, and prints what is needed to use it, one NAME=value per line (progress is on stderr):
#   provider.sh [--context NAME]        PROVIDER=context|kind|compiled KUBECONFIG=... KUBE_CONTEXT=...
#   provider.sh stop [--context NAME]   takes away what a run without `stop` made; prints one line
# The choice: the context that is named; else kind, where Docker answers and kind is installed; else the compiled one.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$HERE/process.sh"

KIND_NAME=modelroute
KIND_KUBECONFIG=$CLUSTER_DIR/kind.kubeconfig

print_choice() { printf 'PROVIDER=%q\nKUBECONFIG=%q\nKUBE_CONTEXT=%q\n' "$@"; }
docker_answers() { command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1; }
kind_exists() { kind get clusters 2>/dev/null | grep -x "$KIND_NAME" >/dev/null; }
kind_ready() { timeout 10 kubectl --kubeconfig "$KIND_KUBECONFIG" get --raw /readyz >/dev/null 2>&1; }

# The programs that the demo calls, for a cluster that does not bring them.
need_clients() {
  local program missing=()
  for program in kubectl helm; do command -v "$program" >/dev/null || missing+=("$program"); done
  [ ${#missing[@]} -eq 0 ] || "$HERE/build.sh" "${missing[@]}"
}

use_context() { # NAME
  local config=${KUBECONFIG:-$HOME/.kube/config}
  need_clients
  KUBECONFIG=$config kubectl --context "$1" --request-timeout 15s get --raw /readyz >/dev/null \
    || die "the cluster of context '$1' (KUBECONFIG $config) does not answer; \`kubectl config get-contexts\` lists what there is"
  print_choice context "$config" "$1"
}

create_kind() {
  kind create cluster --name "$KIND_NAME" --config "$HERE/../kind-config.yaml" --kubeconfig "$KIND_KUBECONFIG" --wait 180s >&2 \
    || die "kind could not make a cluster; its reason is above (a port 30080 in use is a common one)"
}

use_kind() {
  need_clients
  if kind_exists; then
    kind export kubeconfig --name "$KIND_NAME" --kubeconfig "$KIND_KUBECONFIG" >&2 || true
    if ! kind_ready; then
      say "kind's cluster $KIND_NAME does not answer; making it anew"
      kind delete cluster --name "$KIND_NAME" --kubeconfig "$KIND_KUBECONFIG" >&2
      create_kind
    fi
  else
    create_kind
  fi
  print_choice kind "$KIND_KUBECONFIG" "kind-$KIND_NAME"
}

use_compiled() {
  "$HERE/build.sh" all >&2
  "$HERE/up.sh" node >&2
  print_choice compiled "$ADMIN_KUBECONFIG" modelroute
}

stop_all() { # whatever there is: the choice may have been another one when it was made
  local gone=()
  if docker_answers && command -v kind >/dev/null && kind_exists; then
    kind delete cluster --name "$KIND_NAME" --kubeconfig "$KIND_KUBECONFIG" >&2
    rm -f "$KIND_KUBECONFIG"
    gone+=("kind's cluster $KIND_NAME")
  fi
  if alive kube-apiserver || [ -f "$RUN/sysctls" ] || [ -d "$DATA/etcd" ]; then
    "$HERE/down.sh" wipe >&2
    gone+=("the compiled cluster")
  fi
  if [ ${#gone[@]} -eq 0 ]; then echo "no cluster was there"; else printf '%s\n' "gone: $(printf '%s, ' "${gone[@]}" | sed 's/, $//')"; fi
}

action=up context=
[ "${1:-}" != stop ] || { action=stop; shift; }
case "${1:-} $#" in
  " 0") ;;
  "--context 2") context=$2 ;;
  *) usage "provider.sh [stop] [--context NAME]" ;;
esac
if [ "$action" = stop ]; then
  if [ -n "$context" ]; then echo "the cluster of context $context is not ours and stays"; else stop_all; fi
elif [ -n "$context" ]; then
  use_context "$context"
elif command -v kind >/dev/null && docker_answers; then
  use_kind
else
  use_compiled
fi
