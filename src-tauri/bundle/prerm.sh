#!/bin/sh
# Before the package's files go: ends the app of every user who runs it. Its worker ends with it, within two seconds.
# An upgrade leaves it alone: the running program goes on, and the new one is there at the next start.
# What somebody started by hand (`gogrid coordinator`, `gogrid worker` without the app) stays theirs to end.
set -eu

APP=/usr/bin/gogrid-desktop
WORKER=/usr/bin/gogrid

# dpkg says what happens in words, rpm by how many versions will be left.
case "${1:-}" in
  remove | 0) ;;
  *) exit 0 ;;
esac

# Processes that run this file and have this argument, if one is given.
running() { # FILE [ARGUMENT]
  for process in /proc/[0-9]*; do
    [ "$(readlink "$process/exe" 2>/dev/null)" = "$1" ] || continue
    if [ -n "${2:-}" ]; then
      tr '\0' '\n' <"$process/cmdline" 2>/dev/null | grep -qxF -e "$2" || continue
    fi
    echo "${process#/proc/}"
  done
}

ours() {
  running "$APP"
  running "$WORKER" --parent
}

# Asks, waits for at most ten seconds, then insists.
for signal in TERM KILL; do
  for process in $(ours); do
    kill -s "$signal" "$process" 2>/dev/null || :
  done
  tries=100
  while [ "$tries" -gt 0 ] && [ -n "$(ours)" ]; do
    tries=$((tries - 1))
    sleep 0.1
  done
done
