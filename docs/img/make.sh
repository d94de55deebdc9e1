#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Draws the pictures of docs/conv_transpose.md with the built command line: docs/img/make.sh [UPCONV]
set -euo pipefail
cd "$(dirname "$0")"
upconv="${1:-../../build/cli/upconv}"

draw() {
  local name="$1"; shift
  "$upconv" explain --svg "$name.svg" "$@" >/dev/null
}

draw k2s2_valid --input 3x3x1 --kernel 2 --strides 2
draw k3s2_valid --input 3x3x1 --kernel 3 --strides 2
draw k3s2_same --input 4x4x1 --kernel 3 --strides 2 --padding same
draw k4s2_same --input 4x4x1 --kernel 4 --strides 2 --padding same
draw k3s2_output_padding --input 3x3x1 --kernel 3 --strides 2 --output-padding 1
draw k3s1_dilated --input 3x3x1 --kernel 3 --dilation 2
draw k1s2_holes --input 3x3x1 --kernel 1 --strides 2
