#!/usr/bin/env bash
# Starts the cluster and waits until it is ready; what already runs is left alone.
#   up.sh [control-plane|node]     default: node, which includes the control plane
# A control plane alone needs no root and listens on loopback only; many may run, each with a CLUSTER_DIR of its own.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$HERE/process.sh"
. "$HERE/pki.sh"
. "$HERE/node.sh"

mode=${1:-node}
[[ $mode == control-plane || $mode == node ]] || usage "up.sh [control-plane|node]"
for program in etcd kube-apiserver kubectl kube-controller-manager kube-scheduler; do
  [ -x "$BIN/$program" ] || die "$BIN/$program is missing; run cluster/build.sh"
done
need_tools openssl=openssl curl=curl python3=python3
[ "$mode" = control-plane ] || check_machine
lock cluster

port ETCD_PORT 12379; port ETCD_PEER_PORT 12380; port APISERVER_PORT 16443
port CONTROLLERS_PORT 10257; port SCHEDULER_PORT 10259
make_pki

start_etcd() {
  # No fsync: after a crash of the machine nobody wants this data back.
  start etcd "$BIN/etcd" --name node --data-dir "$DATA/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://127.0.0.1:$ETCD_PORT" --advertise-client-urls "http://127.0.0.1:$ETCD_PORT" \
    --listen-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" --initial-advertise-peer-urls "http://127.0.0.1:$ETCD_PEER_PORT" \
    --initial-cluster "node=http://127.0.0.1:$ETCD_PEER_PORT"
}

start_apiserver() {
  local address=127.0.0.1
  [ "$mode" = control-plane ] || address=0.0.0.0
  if alive kube-apiserver && [ "$mode" = node ] && [ "$(cat "$RUN/apiserver.address")" != "$address" ]; then
    # Pods cannot reach a loopback address. It would wait up to a minute for its watchers to leave.
    stop kube-apiserver 1
  fi
  alive kube-apiserver || printf '%s\n' "$address" >"$RUN/apiserver.address"
  # --advertise-address is what the Service `kubernetes` points at; it must not be a loopback address, and without a node
  # nothing uses it. There are no --requestheader flags: with one CA for all, they would let any client certificate speak
  # for any user.
  start kube-apiserver "$BIN/kube-apiserver" --etcd-servers "http://127.0.0.1:$ETCD_PORT" \
    --bind-address "$address" --secure-port "$APISERVER_PORT" --advertise-address "$NODE_IP" \
    --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" --client-ca-file "$PKI/ca.crt" \
    --token-auth-file "$PKI/tokens.csv" --anonymous-auth=false \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged=true \
    --service-cluster-ip-range "$SERVICE_CIDR" --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$PKI/sa.pub" --service-account-signing-key-file "$PKI/sa.key" \
    --kubelet-certificate-authority "$PKI/ca.crt" --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate "$PKI/apiserver-kubelet-client.crt" --kubelet-client-key "$PKI/apiserver-kubelet-client.key" \
    --audit-policy-file "$HERE/audit-policy.yaml" --audit-log-path "$LOGS/audit.log" --audit-log-maxsize 200 --audit-log-maxbackup 1
}

start_controllers() {
  start kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig "$CONF/kube-controller-manager.kubeconfig" \
    --bind-address 127.0.0.1 --secure-port "$CONTROLLERS_PORT" --leader-elect=false --use-service-account-credentials \
    --root-ca-file "$PKI/ca.crt" --service-account-private-key-file "$PKI/sa.key" \
    --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key"
  start kube-scheduler "$BIN/kube-scheduler" --kubeconfig "$CONF/kube-scheduler.kubeconfig" \
    --bind-address 127.0.0.1 --secure-port "$SCHEDULER_PORT" --leader-elect=false
}

start_etcd
start_apiserver
wait_for 90 kube-apiserver kc get --raw /readyz
start_controllers
wait_for 60 kube-controller-manager curl -sfk --max-time 2 "https://127.0.0.1:$CONTROLLERS_PORT/healthz"
wait_for 60 kube-scheduler curl -sfk --max-time 2 "https://127.0.0.1:$SCHEDULER_PORT/healthz"
# No pod is admitted before its namespace has its service account.
wait_for 60 kube-controller-manager kc -n default get serviceaccount default
say "control plane ready after $SECONDS s"
[ "$mode" = control-plane ] || start_node
say "kubeconfig: $ADMIN_KUBECONFIG"
