#!/usr/bin/env bash
# Compiles what is missing of the cluster's programs, from the Go module proxy into $CLUSTER_DIR/bin.
#   build.sh [control-plane|node|tools|linters|all|PROGRAM...]     default: all, which no linter is part of
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$HERE/golang.sh"

CONTROL_PLANE=(etcd kube-apiserver kubectl kube-controller-manager kube-scheduler)
NODE=(kubelet kube-proxy coredns pause)
TOOLS=(helm)
LINTERS=(kubeconform kube-score)
declare -A PACKAGE=([etcd]=./etcd [coredns]=./coredns [pause]=./pause [helm]=helm.sh/helm/v3/cmd/helm)
declare -A VERSION=([coredns]=$COREDNS_VERSION [pause]=1 [helm]=$HELM_VERSION)
VERSION+=([kubeconform]=$KUBECONFORM_VERSION [kube-score]=$KUBE_SCORE_VERSION)
# By their own go.mod: kube-score reads kinds that the API of this Kubernetes does not have any more.
declare -A ALONE=([kubeconform]=github.com/yannh/kubeconform/cmd/kubeconform [kube-score]=github.com/zegl/kube-score/cmd/kube-score)
for program in kube-apiserver kubectl kube-controller-manager kube-scheduler kubelet kube-proxy; do
  PACKAGE[$program]=k8s.io/kubernetes/cmd/$program
done

SOURCE=$CLUSTER_DIR/src/all OUT=$CLUSTER_DIR/build
export CGO_ENABLED=0 GOFLAGS="-mod=mod -buildvcs=false" GOTOOLCHAIN=auto
# Lets the compiler's garbage collector wait longer: a few percent less CPU time. The build cache does not look at it.
export GOGC=400

missing() { # PROGRAM
  local program=$1
  [ ! -x "$BIN/$program" ] || [ "$(cat "$BIN/.stamp/$program" 2>/dev/null)" != "${VERSION[$program]:-$K8S_VERSION}" ]
}

# The linker writes the versions in. Without them the server is v0.0.0, and helm takes every cluster for 1.20.
linker_flags() {
  local minor=${K8S_VERSION#*.} flags='-s -w' package
  minor=${minor%.*}
  # The second one is what clients send as their user agent.
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=v$K8S_VERSION -X $package.gitMajor=1 -X $package.gitMinor=$minor -X $package.gitTreeState=clean"
  done
  flags+=" -X helm.sh/helm/v3/internal/version.version=v$HELM_VERSION"
  for package in helm.sh/helm/v3/pkg/chartutil helm.sh/helm/v3/pkg/lint/rules; do
    flags+=" -X $package.k8sVersionMajor=1 -X $package.k8sVersionMinor=$minor"
  done
  printf '%s\n' "$flags"
}

fail() { # WHAT LOG
  tail -15 "$2" >&2
  say "error: $1; the whole output is in $2"
  say "if it could not download: the Go module proxy must be reachable (\`go env GOPROXY\` says which one is asked)"
  die "if it ran out of memory or disk: it takes 4 GiB of memory and 6 GB under \$HOME; otherwise run it again, it goes on where it was"
}

write_modules() {
  rm -rf "$SOURCE"; mkdir -p "$SOURCE"
  cp -r "$HERE/go/." "$SOURCE/"
  printf 'module cluster.local/binaries\n' >"$SOURCE/go.mod"
  "$HERE/progress.sh" "downloading Kubernetes' source" "$LOGS/download.log" \
    "$GO" -C "$SOURCE" mod download "k8s.io/kubernetes@v$K8S_VERSION" \
    || fail "Kubernetes' source could not be had" "$LOGS/download.log"
  "$GO" -C "$SOURCE" mod download -json "k8s.io/kubernetes@v$K8S_VERSION" >"$SOURCE/kubernetes.json"
  python3 "$HERE/modules.py" "$SOURCE" "$K8S_VERSION" "$COREDNS_VERSION" "$HELM_VERSION"
}

compile() { # PROGRAM...: in one go, so that one program is linked while the next is still being compiled
  local program packages=()
  for program in "$@"; do packages+=("${PACKAGE[$program]}"); done
  rm -rf "$OUT"; mkdir -p "$OUT"
  [ $# -le 2 ] || say "the first time this takes 10 to 30 minutes on 2 cores; what is done is kept, also when you interrupt it"
  "$HERE/progress.sh" "compiling $*" "$LOGS/build.log" "$OUT" \
    "$GO" -C "$SOURCE" build -v -ldflags "$(linker_flags)" -o "$OUT/" "${packages[@]}" \
    || fail "compiling failed" "$LOGS/build.log"
  keep "$@"
}

compile_alone() { # PROGRAM...: Go checks each module against its checksum database
  local program
  rm -rf "$OUT"; mkdir -p "$OUT"
  for program in "$@"; do
    # Without optimizing: each is compiled in half the time, and runs for a second.
    "$HERE/progress.sh" "compiling $program" "$LOGS/build.log" \
      env GOBIN="$OUT" "$GO" install -v -gcflags=all='-N -l' "${ALONE[$program]}@v${VERSION[$program]}" \
      || fail "compiling $program failed" "$LOGS/build.log"
  done
  keep "$@"
}

keep() { # PROGRAM...
  local program
  for program in "$@"; do
    mv "$OUT/$program" "$BIN/$program"
    printf '%s\n' "${VERSION[$program]:-$K8S_VERSION}" >"$BIN/.stamp/$program"
  done
  rm -rf "$OUT"
}

wanted=()
for word in "${@:-all}"; do
  case $word in
    control-plane) wanted+=("${CONTROL_PLANE[@]}") ;;
    node) wanted+=("${NODE[@]}") ;;
    tools) wanted+=("${TOOLS[@]}") ;;
    linters) wanted+=("${LINTERS[@]}") ;;
    all) wanted+=("${CONTROL_PLANE[@]}" "${NODE[@]}" "${TOOLS[@]}") ;;
    *) [ -n "${PACKAGE[$word]:-}${ALONE[$word]:-}" ] || usage "build.sh [control-plane|node|tools|linters|all|PROGRAM...]"; wanted+=("$word") ;;
  esac
done
todo=() alone=()
for program in "${wanted[@]}"; do
  if missing "$program"; then
    if [ -n "${ALONE[$program]:-}" ]; then alone+=("$program"); else todo+=("$program"); fi
  fi
done
if [ $((${#todo[@]} + ${#alone[@]})) -eq 0 ]; then say "all programs are built (${#wanted[@]} looked at)"; exit 0; fi
lock build
need_tools python3=python3
GO=$(find_go)
if [ ${#todo[@]} -gt 0 ]; then write_modules; compile "${todo[@]}"; fi
if [ ${#alone[@]} -gt 0 ]; then compile_alone "${alone[@]}"; fi
todo+=("${alone[@]}")
say "built ${todo[*]} in $SECONDS s"
