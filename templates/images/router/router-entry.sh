#!/bin/sh
# Keeps the syncer running. HAProxy is its own process group: it outlives every syncer, and is stopped only here.
set -u

dir=${FLYNN_ROUTER_DIR:-/var/lib/flynn/router}
grace=${FLYNN_ROUTER_GRACE:-20}
stopping=
syncer=
mkdir -p "$dir"

stop() {
  stopping=1
  if [ -n "$syncer" ]; then kill -TERM "$syncer" 2>/dev/null; fi
}
trap stop TERM INT

pause=1
while [ -z "$stopping" ]; do
  started=$(date +%s)
  "${FLYNN_NODE:-/usr/local/bin/node}" --optimize-for-size --max-semi-space-size=1 --single-threaded-gc \
    "${FLYNN_BUNDLE:-/flynn/appliance.js}" router &
  syncer=$!
  # The first wait is cut short by the trap; the second one is for the syncer's own orderly end.
  wait "$syncer"
  if [ -n "$stopping" ]; then wait "$syncer" 2>/dev/null; fi
  syncer=
  [ -n "$stopping" ] && break
  if [ $(($(date +%s) - started)) -ge 60 ]; then pause=1; fi
  echo "router-entry: the syncer ended, starting it again in ${pause} s; HAProxy goes on" >&2
  sleep "$pause" &
  syncer=$!
  wait "$syncer"
  syncer=
  pause=$((pause * 2))
  if [ "$pause" -gt 10 ]; then pause=10; fi
done

# Soft stop: the ports close at once, open requests finish.
master=$(cat "$dir/haproxy.pid" 2>/dev/null || true)
alive() { [ -n "$master" ] && grep -q haproxy "/proc/$master/comm" 2>/dev/null; }
if alive; then
  kill -USR1 "$master" 2>/dev/null
  tenths=$((grace * 10))
  while alive && [ "$tenths" -gt 0 ]; do
    sleep 0.1
    tenths=$((tenths - 1))
  done
  if alive; then kill -TERM "$master" 2>/dev/null; fi
fi
exit 0
