# shellcheck shell=bash disable=SC2034
# Settings and small helpers for every script here; sourced, never run. Creates only directories under CLUSTER_DIR.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CLUSTER_DIR=${CLUSTER_DIR:-$HOME/.cache/modelroute-cluster}
BIN=$CLUSTER_DIR/bin RUN=$CLUSTER_DIR/run LOGS=$CLUSTER_DIR/logs PKI=$CLUSTER_DIR/pki
DATA=$CLUSTER_DIR/data CONF=$CLUSTER_DIR/conf
ADMIN_KUBECONFIG=$CLUSTER_DIR/kubeconfig

# etcd has no version of its own: Kubernetes' go.mod pins it.
K8S_VERSION=1.37.2
COREDNS_VERSION=1.15.0
HELM_VERSION=3.22.0
KUBECONFORM_VERSION=0.8.0
KUBE_SCORE_VERSION=1.20.0

NODE_NAME=modelroute-node
# An alias on lo: pods reach it through their bridge, other machines do not reach it at all.
NODE_IP=10.244.255.1
POD_CIDR=10.244.0.0/24 BRIDGE=mrcni0
SERVICE_CIDR=10.96.0.0/16 API_SERVICE_IP=10.96.0.1 DNS_SERVICE_IP=10.96.0.10
FIREWALL_CHAIN=MODELROUTE-IN
CONTAINERD_SOCKET=$RUN/containerd.sock
PAUSE_IMAGE=localhost/modelroute/pause:1

mkdir -p "$BIN/.stamp" "$RUN" "$LOGS" "$PKI" "$DATA" "$CONF"
chmod 700 "$PKI"
export PATH=$BIN:$PATH:/usr/sbin:/sbin

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
usage() { say "usage: $*"; exit 2; }

# One script of a kind at a time in this CLUSTER_DIR; `start` closes fd 9 for what must outlive the script.
lock() { # NAME
  exec 9>"$RUN/$1.lock"
  flock -n 9 || { say "waiting for another run of ${0##*/}"; flock 9; }
}

# need_tools COMMAND=PACKAGE...: installs the Debian packages whose command (or absolute path) is missing.
need_tools() {
  local pair packages=()
  for pair in "$@"; do
    if [[ $pair == /* ]]; then [ -e "${pair%%=*}" ] && continue; fi
    command -v "${pair%%=*}" >/dev/null || packages+=("${pair#*=}")
  done
  [ ${#packages[@]} -eq 0 ] || install_packages "${packages[@]}"
}

install_packages() { # DEBIAN-PACKAGE...
  command -v apt-get >/dev/null || die "missing: $* (Debian's names for them); this machine has no apt-get, so install them by hand"
  [ "$(id -u)" = 0 ] || die "missing packages; as root run: apt-get install --no-install-recommends $*"
  say "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >"$LOGS/apt.log" 2>&1 || say "apt-get update had errors (see $LOGS/apt.log); going on"
  # --no-remove: Debian's containerd conflicts with Docker's, and no demo is worth someone's Docker.
  apt-get install -y -q --no-install-recommends --no-remove "$@" >>"$LOGS/apt.log" 2>&1 \
    || die "apt-get could not install $*; the reason is in $LOGS/apt.log"
}

kc() { "$BIN/kubectl" --kubeconfig "$ADMIN_KUBECONFIG" "$@"; }
ctrd() { ctr -a "$CONTAINERD_SOCKET" -n k8s.io "$@"; }
