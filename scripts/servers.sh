#!/bin/sh
# Finds the real Redis and Consul that tests start, and the promtool that checks deploy/prometheus, or
# unpacks them below .servers/ from Debian's packages; the packages of examples/node-handler come there
# from npm. Nothing is installed into the system and no service is started, so no root is needed.
#
# Consul left Debian after bullseye, so its source is derived from this machine's own apt sources:
# the same mirror and keyring, with the suite `bullseye`.
#
# A server that can be neither found nor fetched costs one line here; the tests that want it are
# then skipped (or, with CI=true, fail).
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
servers="$root/.servers"
log="$servers/apt.log"

have() { [ -x "$servers/bin/$1" ] || command -v "$1" >/dev/null 2>&1; }

# The mirrors of the system's own Debian source, one a line.
mirrors() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^https?:.*debian\/?$/) print $i }'
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
        awk '$1 == "URIs:" { for (i = 2; i <= NF; i++) if ($i ~ /debian\/?$/) print $i }'
}

# apt with state of its own, so that an ordinary user can refresh lists and download.
apt() {
    suite=$1; shift
    state="$servers/apt/$suite"
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    : >"$state/status"  # nothing counts as installed: what the system has must not decide what is fetched
    apt-get -q -o Dir::State="$state" -o Dir::State::status="$state/status" \
        -o Dir::State::lists="$state/lists" -o Dir::Cache="$state/cache" \
        -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=- \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 "$@" >>"$log" 2>&1
}

# fetch SUITE PACKAGE...: download the packages of that suite.
fetch() {
    suite=$1; shift
    command -v apt-get >/dev/null 2>&1 || return 1
    state="$servers/apt/$suite"
    mkdir -p "$state" "$servers/debs/$suite"
    mirrors | sort -u | while read -r mirror; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
    done >"$state/sources.list"
    [ -s "$state/sources.list" ] || return 1
    apt "$suite" update || return 1
    (cd "$servers/debs/$suite" && apt "$suite" download "$@")
}

# unpack SUITE PACKAGE...: download the packages of that suite and unpack them.
unpack() {
    fetch "$@" || return 1
    for deb in "$servers/debs/$suite"/*.deb; do dpkg -x "$deb" "$servers/root" || return 1; done
}

# A command of the unpacked tree that finds the libraries unpacked beside it.
wrap() {
    mkdir -p "$servers/bin"
    libraries=$(dirname "$(find "$servers/root" -name 'lib*.so*' 2>/dev/null | head -n 1)" 2>/dev/null)
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$servers/root/usr/bin/$1" >"$servers/bin/$1"
    chmod +x "$servers/bin/$1"
    "$servers/bin/$1" --version >/dev/null 2>&1 || { rm -f "$servers/bin/$1"; return 1; }
}

missing() {
    echo "servers: no $1, so its tests are skipped (put $1 on PATH, or see .servers/*.log)" >&2
    [ "${CI:-}" != true ] || exit 1
}

# shellcheck source=/dev/null
here=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")

if ! have redis-server; then
    mkdir -p "$servers"
    { [ -n "$here" ] && unpack "$here" redis-server redis-tools libjemalloc2 liblzf1 libatomic1 && wrap redis-server; } ||
        missing redis-server
fi

if ! have consul; then
    mkdir -p "$servers"
    if ! unpack bullseye consul; then
        for deb in "$root"/../shared/debs/consul_*.deb; do
            [ -f "$deb" ] && dpkg -x "$deb" "$servers/root"
        done
    fi
    wrap consul || missing consul
fi

# Of Debian's prometheus (19 MB to download) only the one program is kept.
unpack_promtool() {
    fetch "$here" prometheus || return 1
    deb=$(ls "$servers/debs/$here"/prometheus_*.deb)
    mkdir -p "$servers/root"
    dpkg --fsys-tarfile "$deb" | tar -x -C "$servers/root" ./usr/bin/promtool && rm -f "$deb" && wrap promtool
}

if ! have promtool; then
    mkdir -p "$servers"
    { [ -n "$here" ] && unpack_promtool; } || missing promtool
fi

modules="$servers/node-handler"
if ! [ -d "$modules/node_modules/ws" ]; then
    mkdir -p "$modules"
    cp "$root/examples/node-handler/package.json" "$modules/"
    { command -v npm >/dev/null 2>&1 &&
        (cd "$modules" && npm install --no-package-lock --no-audit --no-fund --fetch-retries=1 --fetch-timeout=30000) >>"$servers/npm.log" 2>&1; } ||
        missing "ws for Node.js"
fi
exit 0
