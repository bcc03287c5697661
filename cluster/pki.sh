# shellcheck shell=bash
# The cluster's keys, tokens and kubeconfigs, made once per CLUSTER_DIR; sourced by up.sh.

make_ca() {
  [ -f "$PKI/ca.crt" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj /CN=modelroute-cluster -keyout "$PKI/ca.key" -out "$PKI/ca.crt" 2>/dev/null
}

make_certificate() { # NAME SUBJECT USAGE [ALTERNATIVE-NAMES]
  local base=$PKI/$1 extensions="extendedKeyUsage=$3"
  [ -z "${4:-}" ] || extensions+=$'\n'"subjectAltName=$4"
  [ ! -f "$base.crt" ] || return 0
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" -keyout "$base.key" -out "$base.csr" 2>/dev/null
  openssl x509 -req -in "$base.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 3650 \
    -extfile <(printf '%s\n' "$extensions") -out "$base.crt" 2>/dev/null
  rm "$base.csr"
}

make_service_account_keys() {
  [ ! -f "$PKI/sa.pub" ] || return 0
  openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null
  openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
}

# The components log in with static tokens: TOKEN,USER,UID[,GROUPS]
make_tokens() {
  [ ! -f "$PKI/tokens.csv" ] || return 0
  local user groups
  while IFS=' ' read -r user groups; do
    printf '%s,%s,%s,"%s"\n' "$(openssl rand -hex 16)" "$user" "$user" "$groups"
  done >"$PKI/tokens.new" <<END
admin system:masters
system:kube-controller-manager
system:kube-scheduler
system:kube-proxy system:node-proxier
system:node:$NODE_NAME system:nodes
system:coredns
END
  chmod 600 "$PKI/tokens.new"
  mv "$PKI/tokens.new" "$PKI/tokens.csv"
}

write_kubeconfig() { # FILE USER
  local token
  token=$(awk -F, -v user="$2" '$2 == user { print $1 }' "$PKI/tokens.csv")
  (umask 077; cat >"$1.new") <<END
apiVersion: v1
kind: Config
current-context: modelroute
clusters:
- name: modelroute
  cluster:
    server: https://127.0.0.1:$APISERVER_PORT
    certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
users:
- name: $2
  user: {token: $token}
contexts:
- name: modelroute
  context: {cluster: modelroute, user: "$2"}
END
  mv "$1.new" "$1"
}

make_pki() {
  make_ca
  make_certificate apiserver /CN=kube-apiserver serverAuth "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,\
DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$NODE_IP,IP:$API_SERVICE_IP"
  make_certificate apiserver-kubelet-client /O=system:masters/CN=apiserver-kubelet-client clientAuth
  make_certificate kubelet-serving "/O=system:nodes/CN=system:node:$NODE_NAME" serverAuth "DNS:$NODE_NAME,IP:$NODE_IP"
  make_service_account_keys
  make_tokens
  write_kubeconfig "$ADMIN_KUBECONFIG" admin
  local component
  for component in kube-controller-manager kube-scheduler kube-proxy coredns; do
    write_kubeconfig "$CONF/$component.kubeconfig" "system:$component"
  done
  write_kubeconfig "$CONF/kubelet.kubeconfig" "system:node:$NODE_NAME"
}
