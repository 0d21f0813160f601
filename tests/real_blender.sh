#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs the tests inside the real Blender program: tests/real_blender.sh [PYTEST ARGUMENTS]
#
# NEPHIM_BLENDER names the program. Without it, Debian's Blender is installed into build/blender once (about 1.1 GB);
# that needs root on Debian, x86-64. Where neither is to be had this part says so and counts as skipped, not as failed.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() { echo "Real Blender: SKIPPED, $*"; exit 0; }

# Debian's Blender in a small system of its own; nothing of it touches the machine outside build/blender.
install_debian_blender() {
    local dir=$PWD/build/blender release mirror
    [ -e "$dir/.installed" ] && return
    mkdir -p "$dir"
    if ! command -v mmdebstrap >/dev/null; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq mmdebstrap >/dev/null ||
            skip "mmdebstrap could not be installed."
    fi
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$release" '$1 == release && $2 == "main" && !n++ { print $3 }')
    [ -n "$mirror" ] || skip "apt names no Debian mirror."
    echo "Real Blender: installing Debian's package into build/blender (once, one to two minutes)"
    rm -rf --one-file-system "$dir/root"
    # The program's own Python is Debian's; the python3 packages are what its extension commands import.
    # Tests in the window have a virtual screen (xvfb), a mouse (xdotool) and pictures (imagemagick).
    apt-config dump | grep -E '^Acquire::(Check-|Retries|https?::Proxy)' >"$dir/apt.conf" || true
    timeout 1500 mmdebstrap --quiet --mode=root --variant=apt \
        --aptopt="$dir/apt.conf" --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --include=blender,python3-numpy,python3-cattr,python3-requests,python3-zstandard,libgl1,libegl1,libgl1-mesa-dri,xvfb,xdotool,imagemagick \
        sid "$dir/root" "$mirror" >"$dir/install.log" 2>&1 || skip "the installation failed, see build/blender/install.log."
    ln -sf /proc/mounts "$dir/root/etc/mtab" # Blender reads it when it starts
    # Each folder of the machine is shown inside at its own path, in a mount namespace that ends with the command.
    cat >"$dir/blender" <<'RUN'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
exec unshare --mount --propagation private sh -c '
    root=$1; shift
    for d in /*; do
        case $d in /bin | /boot | /etc | /lib* | /lost+found | /sbin | /usr | /var) continue ;; esac
        [ -d "$d" ] && [ ! -L "$d" ] || continue
        mkdir -p "$root$d" && mount --rbind "$d" "$root$d" || exit 125
    done
    exec chroot "$root" /usr/bin/env -C "$PWD" /usr/bin/blender "$@"' sh "$root" "$@"
RUN
    chmod +x "$dir/blender"
    "$dir/blender" --version >/dev/null 2>&1 || skip "the installed Blender does not start."
    touch "$dir/.installed"
}

if [ -z "${NEPHIM_BLENDER:-}" ]; then
    [ "$(uname -sm)" = "Linux x86_64" ] || skip "set NEPHIM_BLENDER to a Blender program to run this part here."
    grep -qs '^ID=debian' /etc/os-release || skip "this is not Debian; set NEPHIM_BLENDER to a Blender program."
    [ "$(id -u)" = 0 ] || skip "installing Debian's Blender needs root; set NEPHIM_BLENDER to a Blender program."
    install_debian_blender
    NEPHIM_BLENDER=$PWD/build/blender/blender
fi
[ -x "$NEPHIM_BLENDER" ] || { echo "Real Blender: NEPHIM_BLENDER=$NEPHIM_BLENDER is not a program."; exit 1; }
export NEPHIM_BLENDER BLENDER_USER_RESOURCES=${BLENDER_USER_RESOURCES:-$PWD/build/resources}

# Wheels for Blender's own Python, kept apart from it.
version=$("$NEPHIM_BLENDER" -b --factory-startup --python-expr 'import sys; print("python", *sys.version_info[:2])' |
    sed -n 's/^python \([0-9]*\) \([0-9]*\)$/\1.\2/p')
[ -n "$version" ] || { echo "Real Blender: $NEPHIM_BLENDER does not say which Python it has."; exit 1; }
wheels=$PWD/build/wheels-$version
if [ ! -e "$wheels/.ready" ] || [ pyproject.toml -nt "$wheels/.ready" ]; then
    echo "Real Blender: fetching wheels for its Python $version"
    case $(uname -s) in
        Linux) platforms=(manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014) suffix=_$(uname -m) ;;
        Darwin) platforms=(macosx_14_0 macosx_13_0 macosx_12_0 macosx_11_0) suffix=_$(uname -m) ;;
        *) skip "there are no wheels for $(uname -s)." ;;
    esac
    options=()
    for platform in "${platforms[@]}"; do options+=(--platform "$platform$suffix"); done
    rm -rf "$wheels"
    # Listed one by one without dependencies: numpy is Blender's own and must not be shadowed by another.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --target "$wheels" --no-deps \
        --only-binary=:all: --python-version "$version" --implementation cp --abi "cp${version/./}" --abi abi3 --abi none \
        "${options[@]}" scipy numba llvmlite tetgen threadpoolctl pillow hypothesis sortedcontainers pytest pluggy iniconfig \
        packaging pygments
    # The extension's wheels as well, which the tests cannot fetch from within a system of Blender's own.
    .venv/bin/python -m tools.extension --platform this --python "$version" --out build/dist >/dev/null || true
    touch "$wheels/.ready"
fi

mkdir -p build/package "$BLENDER_USER_RESOURCES"
ln -sfn ../.. build/package/nephim
echo "Real Blender: $("$NEPHIM_BLENDER" -b --version | sed -n 1p), Python $version"
PYTHONPATH=$PWD/build/package:$wheels exec "$NEPHIM_BLENDER" -b --factory-startup --python-use-system-env \
    --python tests/run_in_blender.py -- "$@"
