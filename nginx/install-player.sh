#!/bin/sh
# Installs the player for presentations, BigBlueButton's bbb-playback, where nginx serves it:
#
#   ./install-player.sh SOURCE [DIRECTORY]
#
# SOURCE is the package bbb-playback (.deb), a tar file (.tar, .tar.gz, .tar.xz), or a directory with the built player.
# DIRECTORY is by default /var/bigbluebutton/playback/presentation/2.3. A player that is there already is replaced.
set -eu
umask 022

fail() { echo "install-player.sh: $1" >&2; exit 1; }

[ $# -ge 1 ] && [ $# -le 2 ] || fail "usage: install-player.sh SOURCE [DIRECTORY]"
source=$1
target=${2:-/var/bigbluebutton/playback/presentation/2.3}
target=${target%/}
[ -e "$source" ] || fail "there is no $source"
mkdir -p "$(dirname "$target")"

# Beside the target, so that it is put in place by a rename.
work=$(mktemp -d "$(dirname "$target")/.install-player.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work/unpacked"

unpack() { tar --extract --no-same-owner --no-same-permissions --directory "$work/unpacked" "$@"; }

case $source in
    *.deb)
        # Only files: the scripts of a package are not run.
        dpkg-deb --fsys-tarfile "$source" > "$work/files.tar" || fail "$source is not a Debian package"
        unpack --file "$work/files.tar" || fail "cannot unpack $source"
        ;;
    *)
        if [ -d "$source" ]; then cp -R "$source/." "$work/unpacked/"
        else unpack --file "$source" || fail "cannot unpack $source"
        fi
        ;;
esac

links=$(find "$work/unpacked" ! -type f ! -type d | head -n 1)
[ -z "$links" ] || fail "$source has links or devices, which no player needs: ${links#"$work/unpacked"}"

# The player is the directory whose index.html comes with scripts. There must be one.
found=''
for index in $(find "$work/unpacked" -name index.html | tr ' ' '?'); do
    directory=$(dirname "$index")
    [ -d "$directory/static" ] || [ -d "$directory/assets" ] || continue
    [ -z "$found" ] || fail "$source has more than one player: ${found#"$work/unpacked"} and ${directory#"$work/unpacked"}"
    found=$directory
done
[ -n "$found" ] || fail "$source has no player: no index.html with static/ or assets/ beside it. Build it first"

find "$found" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
[ ! -e "$target" ] || mv "$target" "$work/old"
if ! mv "$found" "$target"; then
    [ ! -e "$work/old" ] || mv "$work/old" "$target"
    fail "cannot write $target"
fi
echo "OK $target"
