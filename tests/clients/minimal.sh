#!/bin/sh
# A minimal client in shell: minimal.sh BASE SECRET CALL [NAME=VALUE…].
#
# curl encodes the parameters, and its versions differ on spaces (`%20`, `+`). The signed query must be the one
# that is sent, so a first request, the one call without a checksum, finds out how curl encodes it.
set -eu
base=$1 secret=$2 call=$3
shift 3

for pair; do
    set -- "$@" --data-urlencode "$pair"
    shift
done
encoded=$(curl -sS --noproxy '*' --get "$@" --output /dev/null --write-out '%{url_effective}' "$base")
case $encoded in *\?*) query=${encoded#*\?} ;; *) query= ;; esac
checksum=$(printf '%s%s%s' "$call" "$query" "$secret" | sha256sum | cut -d ' ' -f 1)

curl -sS --noproxy '*' --fail --get "$@" --data "checksum=$checksum" "$base/$call"
