#!/usr/bin/env bash
# Puts checkov and Kubernetes' JSON schemas, by requirements/linters.lock, into an environment of their own in a cache,
# and prints where; nothing is done when it is there. kubeconform and kube-score come from cluster/build.sh linters.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

lock=requirements/linters.lock
home=${XDG_CACHE_HOME:-$HOME/.cache}/modelroute-linters
if [ "$(sha256sum <"$lock")" != "$(cat "$home/.ready" 2>/dev/null)" ]; then
  printf ' … linters (%s)\n' "$home" >&2
  .venv/bin/python -m venv --clear "$home"
  .venv/bin/uv pip install -q --python "$home/bin/python" --require-hashes -r "$lock"
  sha256sum <"$lock" >"$home/.ready"
fi
printf '%s\n' "$home"
