#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# environments.sh FOLDER: Python environments with the other engines, where they install, and one with upconv of this checkout. Engines whose
# runtimes clash live apart: a (JAX, TensorFlow, ONNX Runtime, OpenVINO), b (ncnn, MNN, LiteRT), c and d (oneDNN, new and the last
# without SYCL, libraries only), torch (large: only with PEERS_TORCH=1), upconv.
set -uo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"; folder="$1"; mkdir -p "$folder"; cd "$folder"

environment() {  # NAME PIP_ARGUMENTS...: made once; one that does not install is left out and told
  [ ! -e "$1/complete" ] || return 0
  echo "installing ${*:2}"
  { python3 -m venv "$1" && "$1/bin/python" -m pip install -q --disable-pip-version-check "${@:2}" && touch "$1/complete"; } || echo "$1: not installed"
}
environment a numpy==2.4.6 keras==3.15.1 jax==0.10.2 tensorflow-cpu==2.21.0 onnxruntime==1.32.0 openvino==2026.4.1 onnx==1.23.2
environment b numpy==2.4.6 onnx==1.23.2 ncnn==1.0.20261020 MNN==3.6.1 ai-edge-litert==2.3.0
environment c --no-deps onednn==2026.1.0 onednn-devel==2026.1.0 tbb==2023.2.0 intel-cmplr-lib-rt==2026.2.0 intel-sycl-rt==2026.2.0 intel-opencl-rt==2026.2.0
environment d --no-deps onednn-cpu-gomp==2023.2.0 onednn-devel-cpu-gomp==2023.2.0
[ -z "${PEERS_TORCH:-}" ] || environment torch numpy==2.4.6 torch==2.15.0
for e in c d; do
  [ -e "$e.so" ] || g++ -O2 -std=c++17 -shared -fPIC -I"$e/include" "$here/onednn_deconvolution.cc" -L"$e/lib" -Wl,-rpath,"$PWD/$e/lib" -ldnnl -o "$e.so" ||
    echo "$e: oneDNN's side of the benchmark does not build"
done
environment upconv numpy==2.4.6
upconv/bin/python -m pip install -q --disable-pip-version-check --config-settings="build-dir=$PWD/upconv-build" "$here/../.."
