#!/bin/sh
# A client as an administrator has it in a shell: own.sh BASE SECRET CALL [NAME=VALUE…].
#
# curl encodes the parameters, and its versions differ on blanks (`%20`, `+`). What is signed must be
# what is sent, so curl is first asked how it spells them, with the one call that needs no checksum.
set -eu
base=$1 secret=$2 call=$3
shift 3

for pair; do
    set -- "$@" --data-urlencode "$pair"
    shift
done
spelled=$(curl -sS --noproxy '*' --get "$@" --output /dev/null --write-out '%{url_effective}' "$base")
case $spelled in *\?*) query=${spelled#*\?} ;; *) query= ;; esac
checksum=$(printf '%s%s%s' "$call" "$query" "$secret" | sha256sum | cut -d ' ' -f 1)

curl -sS --noproxy '*' --fail --get "$@" --data "checksum=$checksum" "$base/$call"
