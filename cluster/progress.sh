#!/usr/bin/env bash
# Runs a long command and says every few seconds on stderr that it is alive.
#   progress.sh TITLE LOG [DIRECTORY] COMMAND...
# The command's output goes to LOG, and its last line is shown, with the number of lines so far; a new file in DIRECTORY is
# announced. Exit status: the command's.
set -euo pipefail
title=$1 log=$2; shift 2
directory=; if [ -d "$1" ]; then directory=$1; shift; fi
: >"$log"
printf '%s\n' "$title" >&2

report() {
  local -A seen=()
  local last lines file silence
  # A read that nothing ever answers, rather than `sleep`: a child would keep the caller's stderr open after the end.
  exec {silence}<> <(:)
  while ! read -rt 2 -u "$silence"; do
    if [ -n "$directory" ]; then
      for file in "$directory"/*; do
        if [ -f "$file" ] && [ -z "${seen[$file]:-}" ]; then
          seen[$file]=1
          printf '  %4d s  %s is linked\n' "$SECONDS" "${file##*/}" >&2
        fi
      done
    fi
    [ $((SECONDS % 8)) -lt 2 ] || continue
    last=$(tail -n 1 "$log") lines=$(wc -l <"$log")
    printf '  %4d s  %5d steps  %.90s\n' "$SECONDS" "$lines" "$last" >&2
  done
}
report & reporter=$!
trap 'kill $reporter 2>/dev/null || true' EXIT
"$@" >"$log" 2>&1
