#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs the browser that the pages of a study are tested in, where it is missing and can be had: Debian's Chromium,
# which needs root. Elsewhere this part says so, and its tests count as skipped, not as failed.
set -euo pipefail

for name in ${NEPHIM_BROWSER:-} chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null && exit 0
done
skip() { echo "Browser: SKIPPED, $*; NEPHIM_BROWSER may name a Chromium."; exit 0; }
command -v apt-get >/dev/null || skip "there is no apt-get to install Chromium with"
[ "$(id -u)" = 0 ] || skip "installing Chromium needs root"
echo "Browser: installing Chromium (once, half a minute)"
apt-get update -qq >/dev/null 2>&1 || true # what is known may do
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1 ||
    skip "Chromium could not be installed"
