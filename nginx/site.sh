#!/bin/sh
# Prints the site file for the environment variables of Scalelite's nginx:
#
#   NGINX_SSL             true: TLS (tls.conf)
#   NGINX_BEHIND_PROXY    true: another proxy is in front, see sl/trust-proxy.conf
#   NGINX_RECORDINGS_ONLY true: playback only, no API
#   URL_HOST              the name that clients use
#   PLAYBACK_HOST         the name for recordings, if they have their own
#
# They may be combined:  NGINX_SSL=true URL_HOST=sl.school.org ./site.sh > /etc/nginx/sites-available/sl
set -eu
cd "$(dirname "$0")"

on() { # on NAME: succeeds if the variable NAME is true
    eval "value=\${$1:-false}"
    case $value in
        true) return 0 ;;
        false) return 1 ;;
        *) echo "site.sh: $1 must be true or false, not: $value" >&2; exit 1 ;;
    esac
}

host=${URL_HOST:-sl.example.org}
case $host in
    *[!A-Za-z0-9.-]*) echo "site.sh: URL_HOST must be a host name, not: $host" >&2; exit 1 ;;
esac

playback=${PLAYBACK_HOST:-}
case $playback in
    *[!A-Za-z0-9.-]*) echo "site.sh: PLAYBACK_HOST must be a host name, not: $playback" >&2; exit 1 ;;
esac

ssl=false proxy=false recordings=false
if on NGINX_SSL; then ssl=true; fi
if on NGINX_BEHIND_PROXY; then proxy=true; fi
if on NGINX_RECORDINGS_ONLY; then recordings=true; fi

if $ssl; then file=tls.conf
elif $proxy; then file=behind-proxy.conf
elif $recordings; then file=recordings-only.conf
else file=plain.conf
fi

edit="s/sl\.example\.org/$host/g"
if $proxy; then edit="$edit; s|^\( *\)# \(include sl/trust-proxy.conf;\).*|\1\2|"; fi
if [ -n "$playback" ]; then
    edit="$edit; s|^\( *\)# \(set \$sl_playback_host\) [^;]*;.*|\1\2 $playback;|"
    case $playback in
        *".$host") ;;                        # server_name has it already
        *) edit="$edit; s|server_name \.[^;]*|& $playback|" ;;
    esac
fi
if $recordings; then edit="$edit; s|include sl/api.conf;.*|include sl/no-api.conf;|"; fi
sed "$edit" "$file"
