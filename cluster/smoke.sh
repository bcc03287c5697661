#!/usr/bin/env bash
# shellcheck disable=SC2329  # the checks are called by their names
# Proves the compiled cluster: each line is one thing that the demo and the tests need of it. Takes half a minute.
# Exit status: 1 when a line failed. All traffic stays on loopback and between pods.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$HERE/process.sh"

NAMESPACE=cluster-smoke
WORK=$(mktemp -d)
k() { kc -n "$NAMESPACE" "$@"; }
cleanup() {
  kc delete namespace "$NAMESPACE" --ignore-not-found --wait=false >/dev/null
  rm -rf "$WORK"
}
trap cleanup EXIT

within() { # SECONDS COMMAND...
  local deadline=$((SECONDS + $1)); shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || { say "not in time: $*"; return 1; }
    sleep 0.2
  done
}

in_client() { k exec client -- "$@"; }
GET='import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode(), end="")'
ASK_API='
import ssl, urllib.request as u
own = "/var/run/secrets/kubernetes.io/serviceaccount/"
trust = ssl.create_default_context(cafile=own + "ca.crt")
ask = u.Request("https://kubernetes.default.svc/version", headers={"Authorization": "Bearer " + open(own + "token").read()})
print(u.urlopen(ask, timeout=5, context=trust).read().decode())'

check_node() { "$HERE/status.sh"; }
check_image() { "$HERE/image.sh" build modelroute/smoke:dev "$HERE/smoke"; }
check_pods() {
  k apply -f "$HERE/smoke/pods.yaml"
  k rollout status deployment/web --timeout=90s
  k wait --for=condition=Ready pod/client --timeout=60s
}
check_dns() {
  # kube-proxy writes a ready pod into the Service's rules about a second later.
  within 15 in_client python -c "$GET" http://web/
  for _ in {1..16}; do in_client python -c "$GET" "http://web.$NAMESPACE.svc.cluster.local/"; done >"$WORK/answers"
  [ "$(sort -u "$WORK/answers" | wc -l)" = 2 ]
}
check_nodeport() {
  local port
  port=$(k get service web -o 'jsonpath={.spec.ports[0].nodePort}')
  within 10 curl -sf --max-time 2 "http://127.0.0.1:$port/"
}
check_exec() {
  [ "$(k exec deployment/web -- id -u)" = 65532 ]
  k logs deployment/web >"$WORK/log"
  grep listening "$WORK/log"
}
check_forward() {
  # Not by way of k: the pid would be that of the shell around it.
  "$BIN/kubectl" --kubeconfig "$ADMIN_KUBECONFIG" -n "$NAMESPACE" port-forward service/web :80 >"$WORK/forward" &
  local forward=$!
  # shellcheck disable=SC2064
  trap "kill $forward" RETURN
  within 10 grep -q Forwarding "$WORK/forward"
  curl -sf --max-time 5 "http://$(grep -oEm1 '127.0.0.1:[0-9]+' "$WORK/forward")/"
}
check_token() { in_client python -c "$ASK_API" >"$WORK/version" && grep "v$K8S_VERSION" "$WORK/version"; }
check_configmap() {
  # The kubelet looks at a pod's volumes about once a minute; a change of the pod itself makes it look at once.
  k patch configmap settings -p '{"data": {"greeting": "second"}}'
  k annotate pod client looked=now
  within 10 in_client grep -q second /settings/greeting
}
check_audit() { grep "$NAMESPACE/configmaps/settings.*\"verb\":\"patch\".*\"username\":\"admin\"" "$LOGS/audit.log"; }
check_helm() { helm version --short | grep "v$HELM_VERSION"; }

kc delete namespace "$NAMESPACE" --ignore-not-found >/dev/null
kc create namespace "$NAMESPACE" >/dev/null
within 20 k get serviceaccount default >/dev/null 2>&1
failed=0
for check in node image pods dns nodeport exec forward token configmap audit helm; do
  began=$(date +%s%N) outcome=PASS
  # Not within `if`: there `set -e` would be without effect in the check.
  set +e
  (set -e; "check_$check") >"$WORK/$check.log" 2>&1
  status=$?
  set -e
  [ "$status" = 0 ] || { outcome=FAIL; failed=1; }
  printf '%s  %-10s %5d ms\n' "$outcome" "$check" $((($(date +%s%N) - began) / 1000000))
  [ "$outcome" = PASS ] || tail -15 "$WORK/$check.log"
done
exit $failed
