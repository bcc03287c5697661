# shellcheck shell=bash disable=SC2154
# The node's part of up.sh: check_machine before anything is started, start_node when the control plane is ready. It makes
# a bridge, iptables chains, cgroups and mounts, all of which down.sh takes away again.
. "$HERE/node_config.sh"

DNS_PORT=1053
# What kubelet, kube-proxy and this script change among the kernel's settings; down.sh puts the old values back.
SYSCTLS=(net/ipv4/ip_forward net/ipv4/conf/all/route_localnet net/bridge/bridge-nf-call-iptables vm/overcommit_memory
  vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes
  net/netfilter/nf_conntrack_max net/netfilter/nf_conntrack_tcp_timeout_established
  net/netfilter/nf_conntrack_tcp_timeout_close_wait)

check_machine() {
  [ "$(id -u)" = 0 ] || die "a node takes root; without it there is: up.sh control-plane"
  local program
  for program in kubelet kube-proxy coredns pause; do
    [ -x "$BIN/$program" ] || die "$BIN/$program is missing; run cluster/build.sh"
  done
  # Two nodes would fight over the same cgroups and iptables chains.
  if [ ! -f "$RUN/sysctls" ] && [ -n "$(find /sys/fs/cgroup -maxdepth 2 -type d -name 'kubepods*' -print -quit)" ]; then
    die "another Kubernetes node runs on this machine; use it with --context NAME, or stop it"
  fi
  need_tools containerd=containerd runc=runc /usr/lib/cni/bridge=containernetworking-plugins iptables=iptables \
    conntrack=conntrack ip=iproute2 socat=socat buildah=buildah
}

prepare_kernel() {
  local name
  if [ ! -f "$RUN/sysctls" ]; then
    for name in "${SYSCTLS[@]}"; do
      if [ -r "/proc/sys/$name" ]; then printf '%s %s\n' "$name" "$(cat "/proc/sys/$name")"; fi
    done >"$RUN/sysctls.new"
    mv "$RUN/sysctls.new" "$RUN/sysctls"
  fi
  echo 1 >/proc/sys/net/ipv4/ip_forward
  # Else the answer of a pod behind a Service goes straight over the bridge to the asking pod, which does not know the sender.
  if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables; fi
  [ -n "$(ip -4 -o addr show dev lo to "$NODE_IP")" ] || ip addr add "$NODE_IP/32" dev lo
}

# The apiserver listens on all addresses, for the pods' sake; nobody else may come in.
guard_apiserver() {
  iptables -n -L "$FIREWALL_CHAIN" >/dev/null 2>&1 || iptables -N "$FIREWALL_CHAIN"
  iptables -F "$FIREWALL_CHAIN"
  iptables -A "$FIREWALL_CHAIN" -i lo -j RETURN
  iptables -A "$FIREWALL_CHAIN" -i "$BRIDGE" -j RETURN
  iptables -A "$FIREWALL_CHAIN" -p tcp --dport "$APISERVER_PORT" -j DROP
  iptables -C INPUT -j "$FIREWALL_CHAIN" 2>/dev/null || iptables -I INPUT -j "$FIREWALL_CHAIN"
}

node_ready() {
  local state
  state=$(kc get node "$NODE_NAME" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.spec.taints[*].key}') \
    && [[ $state == True* && $state != *not-ready* ]]
}

start_node() {
  port KUBELET_PORT 10250; port KUBELET_HEALTH_PORT 10248; port PROXY_HEALTH_PORT 10256; port PROXY_METRICS_PORT 10249
  port DNS_HEALTH_PORT 18080; port DNS_READY_PORT 18181
  prepare_kernel
  guard_apiserver
  write_node_config
  start containerd containerd --config "$CONF/containerd.toml"
  wait_for 30 containerd ctrd version
  "$HERE/image.sh" pause
  start kubelet "$BIN/kubelet" --config "$CONF/kubelet.yaml" --kubeconfig "$CONF/kubelet.kubeconfig" \
    --root-dir "$DATA/kubelet" --cert-dir "$DATA/kubelet/pki" --hostname-override "$NODE_NAME" --node-ip "$NODE_IP"
  start kube-proxy "$BIN/kube-proxy" --config "$CONF/kube-proxy.yaml"
  kc apply -f "$CONF/dns.yaml" >/dev/null
  start coredns "$BIN/coredns" -conf "$CONF/Corefile"
  wait_for 60 coredns curl -sf --max-time 2 "http://127.0.0.1:$DNS_READY_PORT/ready"
  wait_for 60 kube-proxy curl -sf --max-time 2 "http://127.0.0.1:$PROXY_HEALTH_PORT/healthz"
  wait_for 120 kubelet node_ready
  say "node ready after $SECONDS s"
}
