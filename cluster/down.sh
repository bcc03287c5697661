#!/usr/bin/env bash
# Stops what up.sh started and takes away what it made outside CLUSTER_DIR.
#   down.sh          the next up.sh goes on with the same objects
#   down.sh wipe     forgets objects, keys, ports and logs too; programs and built images stay
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$HERE/process.sh"

kill_containers() {
  local id
  # By design pods outlive kubelet and containerd.
  if alive containerd; then
    for id in $(ctrd containers ls -q); do
      ctrd tasks kill -a -s SIGKILL "$id" || true
      ctrd tasks rm -f "$id" || true
      ctrd containers rm "$id" || true
    done >/dev/null 2>&1
  fi
}

# What a crash of containerd leaves: shims, known by our socket in their command line, and processes in pods' cgroups.
kill_leftovers() {
  local directory words pid
  for directory in /proc/[0-9]*; do
    mapfile -d '' -t words 2>/dev/null <"$directory/cmdline" || continue
    [[ ${words[0]:-} == */containerd-shim* && " ${words[*]} " == *" -address $CONTAINERD_SOCKET "* ]] || continue
    kill -9 "${directory#/proc/}" 2>/dev/null || true
  done
  find /sys/fs/cgroup -path '*/kubepods*' -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | while read -r pid; do
    kill -9 "$pid" 2>/dev/null || true
  done
}

# Each pod's network namespace is in the record that the CNI library keeps; its interfaces go with it.
remove_network() {
  local record namespace
  for record in /var/lib/cni/results/modelroute-*; do
    [ -f "$record" ] || continue
    while read -r namespace; do ip netns del "$namespace" 2>/dev/null || true; done \
      < <(grep -oE 'cni-[0-9a-f]{8}(-[0-9a-f]+)+' "$record" | sort -u)
    rm -f "$record"
  done
  rm -f /var/lib/cni/results/cni-loopback-*-lo
  rmdir /var/lib/cni/results /var/lib/cni 2>/dev/null || true
  rm -rf "$DATA/cni"
  ip link del "$BRIDGE" 2>/dev/null || true
  ip addr del "$NODE_IP/32" dev lo 2>/dev/null || true
}

# The chains of kubelet, kube-proxy and ours go; every other rule stays. A table that was not there is not looked at, since
# listing it would make it.
remove_firewall() {
  local family table ours="KUBE-|$FIREWALL_CHAIN"
  for family in ip ip6; do
    while read -r table; do
      "${family}tables-save" -t "$table" | grep -vE "$ours" | "${family}tables-restore" -T "$table"
    done < <("${family}tables-save" 2>/dev/null | awk -v ours="$ours" '/^\*/ { t = substr($0, 2) } $0 ~ ours { print t }' | sort -u)
  done
}

remove_mounts() {
  local target
  awk -v under="$CLUSTER_DIR/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | while read -r target; do
    umount "$target" 2>/dev/null || umount -l "$target" || say "cannot unmount $target"
  done
}

# Places that kubelet and containerd have compiled in. Directories go only when they are empty.
remove_strays() {
  local link
  for link in /var/log/containers/*; do
    if [[ -L $link && $(readlink "$link") == "$CLUSTER_DIR"/* ]]; then rm -f "$link"; fi
  done
  rm -f /var/lib/kubelet/device-plugins/kubelet.sock
  rmdir /var/log/containers /var/lib/kubelet/device-plugins /var/lib/kubelet /run/netns \
    /run/containerd/s /run/containerd/runc/k8s.io /run/containerd/runc /run/containerd 2>/dev/null || true
}

restore_kernel() {
  local name value
  while read -r name value; do printf '%s\n' "$value" >"/proc/sys/$name" 2>/dev/null || true; done <"$RUN/sysctls"
  rm -f "$RUN/sysctls"
}

take_down_node() {
  kill_containers
  stop kube-proxy
  stop containerd
  kill_leftovers
  remove_network
  remove_mounts
  remove_firewall
  find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
  remove_strays
  restore_kernel
}

case "${1:-} $#" in " 0" | "wipe 1") ;; *) usage "down.sh [wipe]" ;; esac
lock cluster
stop coredns
stop kubelet
# prepare_kernel wrote this file before anything else of a node was made.
if [ -f "$RUN/sysctls" ]; then take_down_node; fi
for program in kube-scheduler kube-controller-manager kube-apiserver etcd; do stop "$program"; done
if [ "${1:-}" = wipe ]; then
  rm -rf "$DATA" "$PKI" "$CONF" "$LOGS" "$RUN"/containerd* "$RUN/ports" "$RUN/apiserver.address" "$ADMIN_KUBECONFIG"
fi
say "down after $SECONDS s"
