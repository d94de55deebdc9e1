#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sources.sh FOLDER: the sources of the libraries that a wheel carries, from the Debian (or Ubuntu) that this machine follows,
# unpacked into FOLDER/NAME. apt's own settings and lists stay as they are; apt verifies what it fetches.
set -euo pipefail
libraries=(zlib libpng1.6 libzip hdf5 onetbb highway)

mkdir -p "$1" && cd "$1"
mkdir -p apt/parts apt/lists/partial apt/cache/archives/partial
for list in /etc/apt/sources.list.d/{debian,ubuntu}.sources; do
  [ ! -f "$list" ] || sed 's/^Types:.*/Types: deb-src/' "$list" >"apt/parts/${list##*/}"
done
[ ! -f /etc/apt/sources.list ] || sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >apt/parts/sources.list
options=(-qq -o APT::Sandbox::User=root -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$PWD/apt/parts"
         -o "Dir::State::Lists=$PWD/apt/lists" -o "Dir::Cache=$PWD/apt/cache")

# fetch NAME: unpacks the newest version that the mirror still holds.
fetch() {
  local version
  for version in $(apt-cache "${options[@]}" showsrc --only-source "$1" | sed -n 's/^Version: //p' | sort -rV | uniq); do
    if apt-get "${options[@]}" source --download-only "$1=$version" 2>>apt.log; then
      dpkg-source --no-check --extract "$1_${version#*:}.dsc" "$1" >>apt.log 2>&1
      echo "$1 $version"
      return
    fi
  done
  tail -n 5 apt.log >&2
  echo "no source of $1 can be fetched" >&2
  return 1
}

updated=
for library in "${libraries[@]}"; do
  [ ! -d "$library" ] || continue
  [ -n "$updated" ] || { apt-get "${options[@]}" update; updated=1; }
  fetch "$library"
done
