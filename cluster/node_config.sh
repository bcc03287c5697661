# shellcheck shell=bash disable=SC2154
# Writes the configuration files of the node's programs; sourced by node.sh after the ports are known.

write_containerd() {
  cat >"$CONF/containerd.toml" <<END
version = 2
root = "$DATA/containerd"
state = "$RUN/containerd"
[grpc]
  address = "$CONTAINERD_SOCKET"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  # root in a container or a small virtual machine may lack CAP_SYS_RESOURCE, and then cannot lower an OOM score.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$CONF/cni"
[plugins."io.containerd.internal.v1.opt"]
  path = "$DATA/containerd-opt"
END
  cat >"$CONF/cni/10-modelroute.conflist" <<END
{"cniVersion": "1.0.0", "name": "modelroute", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$DATA/cni", "ranges": [[{"subnet": "$POD_CIDR"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
}

write_kubelet() {
  cat >"$CONF/kubelet.yaml" <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_IP
port: $KUBELET_PORT
healthzBindAddress: 127.0.0.1
healthzPort: $KUBELET_HEALTH_PORT
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $PKI/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet-serving.crt
tlsPrivateKeyFile: $PKI/kubelet-serving.key
containerRuntimeEndpoint: unix://$CONTAINERD_SOCKET
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
enforceNodeAllocatable: []
clusterDNS: [$DNS_SERVICE_IP]
clusterDomain: cluster.local
resolvConf: /dev/null
podLogsDir: $DATA/pod-logs
volumePluginDir: $DATA/volume-plugins
# A full disk of the developer's machine must not evict the demo, nor may images that no registry has be collected.
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
END
}

write_proxy() {
  cat >"$CONF/kube-proxy.yaml" <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clusterCIDR: $POD_CIDR
hostnameOverride: $NODE_NAME
clientConnection: {kubeconfig: $CONF/kube-proxy.kubeconfig}
healthzBindAddress: 127.0.0.1:$PROXY_HEALTH_PORT
metricsBindAddress: 127.0.0.1:$PROXY_METRICS_PORT
nodePortAddresses: [127.0.0.0/8, $NODE_IP/32]
oomScoreAdj: 0
conntrack: {maxPerCore: 0}
END
}

# CoreDNS runs as a program of this machine, behind the usual Service. Pods have no way out, so it knows the cluster's names
# alone and denies all others at once. In one block `template` would answer before `kubernetes`, whatever their order.
write_dns() {
  cat >"$CONF/Corefile" <<END
.:$DNS_PORT {
  bind $NODE_IP
  template ANY ANY {
    rcode NXDOMAIN
  }
}
cluster.local:$DNS_PORT in-addr.arpa:$DNS_PORT {
  bind $NODE_IP
  errors
  health 127.0.0.1:$DNS_HEALTH_PORT
  ready 127.0.0.1:$DNS_READY_PORT
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $CONF/coredns.kubeconfig
    ttl 5
  }
  cache 5
}
END
  cat >"$CONF/dns.yaml" <<END
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:coredns"}
rules:
- {apiGroups: [""], resources: [services, pods, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "system:coredns"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:coredns"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:coredns"}]
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec:
  clusterIP: $DNS_SERVICE_IP
  ports:
  - {name: dns, protocol: UDP, port: 53, targetPort: $DNS_PORT}
  - {name: dns-tcp, protocol: TCP, port: 53, targetPort: $DNS_PORT}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kube-dns-host, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}
addressType: IPv4
endpoints: [{addresses: [$NODE_IP], conditions: {ready: true}}]
ports:
- {name: dns, protocol: UDP, port: $DNS_PORT}
- {name: dns-tcp, protocol: TCP, port: $DNS_PORT}
END
}

write_node_config() {
  mkdir -p "$CONF/cni" "$DATA/containerd" "$DATA/kubelet" "$DATA/pod-logs" "$DATA/volume-plugins"
  write_containerd
  write_kubelet
  write_proxy
  write_dns
}
