# shellcheck shell=bash
# Starts, watches and stops background programs, and picks their ports; sourced after common.sh.
# A program is known by pid and start time together, so a pid that the kernel has given to someone else is never
# signalled.

born() { # PID -> start time in clock ticks since boot; fails for no process and for a zombie
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  read -ra fields <<<"${stat##*) }"
  [ "${fields[0]}" != Z ] && printf '%s\n' "${fields[19]}"
}

alive() { # NAME
  local pid ticks
  read -r pid ticks 2>/dev/null <"$RUN/$1.pid" && [ "$(born "$pid")" = "$ticks" ]
}

start() { # NAME COMMAND...
  local name=$1; shift
  ! alive "$name" || return 0
  # A session of its own keeps the terminal's Ctrl-C away from it.
  setsid "$@" >>"$LOGS/$name.log" 2>&1 </dev/null 9>&- &
  printf '%s %s\n' $! "$(born $!)" >"$RUN/$name.pid"
}

stop() { # NAME [SECONDS until SIGKILL]
  local name=$1 tenths=$((${2:-10} * 10)) pid
  if alive "$name"; then
    read -r pid _ <"$RUN/$name.pid"
    kill "$pid" 2>/dev/null || true
    while alive "$name" && [ $((tenths--)) -gt 0 ]; do sleep 0.1; done
    ! alive "$name" || kill -9 "$pid" 2>/dev/null || true
    while alive "$name"; do sleep 0.1; done
    say "stopped $name"
  fi
  rm -f "$RUN/$name.pid"
}

wait_for() { # SECONDS NAME COMMAND...: until COMMAND succeeds; gives up early when the program NAME has died
  local deadline=$((SECONDS + $1)) name=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    if [ -f "$RUN/$name.pid" ] && ! alive "$name"; then
      tail -5 "$LOGS/$name.log" >&2
      die "$name ended while it should have become ready; its log: $LOGS/$name.log"
    fi
    [ "$SECONDS" -lt "$deadline" ] || die "$name is not ready in time; its log: $LOGS/$name.log"
    sleep 0.2
  done
}

# The preferred port where it is free, else one from the kernel; remembered for the next start.
port() { # VARIABLE PREFERRED
  local chosen
  chosen=$(sed -n "s/^$1=//p" "$RUN/ports" 2>/dev/null) || true
  if [ -z "$chosen" ]; then
    chosen=$(python3 "$HERE/free_port.py" "$2")
    printf '%s=%s\n' "$1" "$chosen" >>"$RUN/ports"
  fi
  printf -v "$1" %s "$chosen"
}
