#!/bin/sh
# Runs dnsmasq with what the host's agent has written for it; the agent may come later.
conf=${FLYNN_DNS_DIR:-/var/lib/flynn/dns}/dnsmasq.conf
trap 'exit 0' TERM INT
until [ -s "$conf" ]; do
  sleep 0.2 &
  wait $!
done
exec /usr/sbin/dnsmasq --keep-in-foreground --conf-file="$conf"
