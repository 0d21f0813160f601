#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Simulates and bakes shots, one after the other: bake-shots.sh SHOT.blend…
#
# BLENDER names the program (default: blender), with the extension enabled. A shot that fails or is interrupted does not
# stop the others; run the same command again: finished frames are kept. Exit code: number of shots that failed.
set -uo pipefail

blender=${BLENDER:-blender}
[ $# -gt 0 ] || { echo "Usage: bake-shots.sh SHOT.blend…" >&2; exit 2; }

nephim() { "$blender" -b "$shot" --command nephim "$@"; }

bake_shot() {
    [ -f "${shot%.blend}.nephim/volume.npz" ] || nephim volume || return
    nephim simulate &&
        nephim bake --to shape-keys &&
        nephim report --json "${shot%.blend}.report.json"
}

failed=0
for shot in "$@"; do
    echo "== $shot"
    bake_shot >"${shot%.blend}.log" 2>&1 || { echo "   failed, see ${shot%.blend}.log" >&2; failed=$((failed + 1)); }
done
exit "$failed"
