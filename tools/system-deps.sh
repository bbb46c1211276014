#!/usr/bin/env bash
# The system's packages: what novastate and its tests need, and what the lab needs (tests/lab: two libvirt daemons, QEMU guests).
#
# Rules of this file:
# - What is installed is not touched and not looked for: with everything there, no network is used, and it ends at once.
# - Packages come from the mirror that the system's own apt is set to. Debian 12 has a QEMU that loses guest writes in a live
#   migration under TCG (7.2), and a libvirt that cannot look at newer ones: there, both come from bookworm-backports, whose
#   source is the system's own Debian stanza with another suite.
# - What cannot be had does not keep back the rest: every step says what it could not do, and the last status is then 1.
# - Every step has a deadline.
set -euo pipefail
exec </dev/null

ETC=${SYSTEM_DEPS_ETC:-/etc} # the tests have one of their own
BASE=(python3 python3-venv python3-dev gcc libc6-dev make git ca-certificates)
LAB=(pkg-config iproute2 iptables util-linux linux-image-cloud-amd64)
VIRT=(qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-clients libvirt-dev)
APT=(timeout 900 apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3
  -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30)
export DEBIAN_FRONTEND=noninteractive

say() { echo "system-deps: $*"; }

# Those of the packages that are not installed.
missing() {
  local name
  for name; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
  done
}

# Those of VIRT that are not installed, or too old for the lab.
missing_virt() {
  local name version
  for name in "${VIRT[@]}"; do
    version=$(dpkg-query -W -f '${db:Status-Status} ${Version}' "$name" 2>/dev/null) || version=
    case $version:$name in
      "installed "*:qemu-*) dpkg --compare-versions "${version#* }" ge 1:8 || echo "$name" ;;
      "installed "*:libvirt-*) dpkg --compare-versions "${version#* }" ge 9.1 || echo "$name" ;;
      *) echo "$name" ;;
    esac
  done
}

# Whether some source already has the backports.
has_backports() {
  grep -qsE '^(deb |Suites:).*[[:blank:]]bookworm-backports([[:blank:]]|$)' \
    "$ETC/apt/sources.list" "$ETC"/apt/sources.list.d/*.list "$ETC"/apt/sources.list.d/*.sources
}

# Writes a source like the system's own of suite bookworm, for its backports, and prints the path; status 1: there is none to copy.
add_backports() {
  local file stanza to=$ETC/apt/sources.list.d/novastate-backports
  for file in "$ETC"/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    # Stanzas are parted by empty lines; a field goes on in lines that begin with a blank.
    stanza=$(sed 's/^[[:blank:]]*$//; /^#/d' "$file" | awk 'BEGIN { RS = ""; FS = "\n" }
      !/(^|\n)Enabled: *no/ && /(^|\n)Types:[^\n]*deb( |\n|$)/ && /(^|\n)Suites:([^\n]* )?bookworm( |\n|$)/ {
        for (i = 1; i <= NF; i++) print $i ~ /^Suites:/ ? "Suites: bookworm-backports" : $i
        exit
      }')
    [ -z "$stanza" ] || { echo "$stanza" >"$to.sources" && echo "$to.sources"; return; }
  done
  local b='[[:blank:]]+' # deb [OPTIONS] ADDRESS SUITE COMPONENT ...
  for file in "$ETC/apt/sources.list" "$ETC"/apt/sources.list.d/*.list; do
    [ -e "$file" ] || continue
    stanza=$(sed -nE "s/^deb$b(\[[^]]*\]$b)?([^[:blank:]]+)${b}bookworm$b(.*)\$/deb \1\2 bookworm-backports \3/p" "$file")
    stanza=${stanza%%$'\n'*}
    [ -z "$stanza" ] || { echo "$stanza" >"$to.list" && echo "$to.list"; return; }
  done
  return 1
}

if ! command -v apt-get >/dev/null; then
  say "no apt-get here; needed: Python 3.11 with venv, a C compiler, git; for the lab also libvirt (daemon, clients, development" \
    "files), QEMU 8 or newer, a Linux kernel with its modules, iproute2, iptables"
  exit 0
fi
base=($(missing "${BASE[@]}")) lab=($(missing "${LAB[@]}")) virt=($(missing_virt))
if [ -z "${base[*]}${lab[*]}${virt[*]}" ]; then
  say "everything is installed"
  exit 0
fi
[ "$(. "$ETC/os-release" && echo "${VERSION_CODENAME-}")" = bookworm ] && backports=1 || backports=
if [ "$(id -u)" != 0 ]; then
  say "not root; to be installed as root: ${base[*]} ${lab[*]} ${virt[*]}${backports:+ (qemu, libvirt: of bookworm-backports)}"
  exit 0
fi

failed=0 added=
if [ -n "$backports" ] && [ -n "${virt[*]}" ] && ! has_backports; then
  if added=$(add_backports); then
    say "added $added"
  else
    say "no apt source of suite bookworm in $ETC/apt, so none for its backports was added"
  fi
fi
if ! "${APT[@]}" update; then
  say "apt-get update failed: the mirror is down, or has not everything; going on with the package lists that are there"
  failed=1
  # A source of ours that breaks the update would break every later one as well.
  [ -z "$added" ] || { rm -f "$added" && say "removed $added again"; }
fi
install() { # what for, packages and options
  local what=$1
  shift
  "${APT[@]}" install --no-install-recommends "$@" && return
  say "not installed, $what: $*"
  failed=1
}
[ -z "${base[*]}" ] || install "needed by novastate and its tests" "${base[@]}"
for_lab="needed by the lab; without it make test leaves the lab out and says so"
[ -z "${lab[*]}" ] || install "$for_lab" "${lab[@]}"
[ -z "${virt[*]}" ] || install "$for_lab" ${backports:+-t bookworm-backports} "${virt[@]}"
exit "$failed"
