#!/bin/sh
# A scheduler in a few lines of shell: asks Sampi for its view, picks a host at random and books a job there, again and
# again. Usage: scheduler.sh URL CERTIFICATES TEMPLATE ROUNDS; prints the id of each job that it got.
set -eu
url=$1 certs=$2 template=$3 rounds=$4

call() {
  curl -sS -m 10 --cacert "$certs/ca.pem" --cert "$certs/control.pem" --key "$certs/control.key" \
    -H 'content-type: application/json' "$@"
}
# 26 characters as in a ULID; the job's name is made before the call, so that a repeated call books nothing twice.
ulid() {
  LC_ALL=C tr -dc '0-9a-hjkmnp-tv-z' </dev/urandom | dd bs=1 count=26 2>/dev/null
}
hosts=$(call "$url/v1/view" | grep -o '"name":"[a-z0-9-]*"' | cut -d'"' -f4)
while [ "$rounds" -gt 0 ]; do
  rounds=$((rounds - 1))
  host=$(printf '%s\n' "$hosts" | shuf -n 1)
  job="$host-$(ulid)"
  body=$(printf '{"id":"%s","hosts":{"%s":{"claims":[{"job":"%s","template":"%s","owner":"shell/web","resources":{"memory":67108864,"cpu":10},"ports":1}]}}}' \
    "$(ulid)" "$host" "$job" "$template")
  case $(call -X POST -d "$body" "$url/v1/transactions") in
    *'"ok":true'*) echo "$job" ;;
    *'"rejection"'*) ;;
    *) exit 1 ;;
  esac
done
