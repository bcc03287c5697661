#!/usr/bin/env bash
# The official OpenAI clients for Node and Go, as the tests use them: made once for each state of their lock files, in the
# cache of the cluster's programs. Prints the folder in which Node finds its package, and Go's program.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
# shellcheck source=common.sh
. "$ROOT/cluster/common.sh"
# shellcheck source=golang.sh
. "$ROOT/cluster/golang.sh"

CLIENTS=$ROOT/tests/dataplane/clients
MADE=$CLUSTER_DIR/clients

hash_of() { cat "$@" | sha256sum | cut -c1-16; }

NODE=$MADE/node-$(hash_of "$CLIENTS"/node/package*.json)
GO_PROGRAM=$MADE/go-$(hash_of "$CLIENTS"/go/*)

make_node() {
  rm -rf "$NODE.part"; mkdir -p "$NODE.part"
  cp "$CLIENTS"/node/package*.json "$NODE.part/"
  (cd "$NODE.part" && npm ci --no-audit --no-fund) >"$LOGS/clients.log" 2>&1 \
    || { tail -5 "$LOGS/clients.log" >&2; die "npm could not install the OpenAI client; the package registry must be reachable"; }
  mv "$NODE.part" "$NODE"
}

make_go() {
  local go
  go=$(find_go)
  # Without optimizing: it is compiled in half the time, and runs for a second.
  "$HERE/progress.sh" "compiling the OpenAI client for Go (one to two minutes, once)" "$LOGS/clients.log" \
    env CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS="-mod=readonly -buildvcs=false" GOGC=400 \
    "$go" -C "$CLIENTS/go" build -gcflags=all='-N -l' -o "$GO_PROGRAM.part" . >&2 \
    || { tail -15 "$LOGS/clients.log" >&2; die "the OpenAI client for Go could not be built; the Go module proxy must be reachable"; }
  mv "$GO_PROGRAM.part" "$GO_PROGRAM"
}

lock clients
need_tools npm=npm node=nodejs
[ -d "$NODE" ] || make_node
[ -x "$GO_PROGRAM" ] || make_go
printf '%s\n' "$NODE" "$GO_PROGRAM"
