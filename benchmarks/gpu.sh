#!/usr/bin/env bash
# One command on a bare machine with a GPU, Python and this repository: images a second of B0, B1 and B4 in training
# and inference, with decoding and augmentation in the loop, beside a bare loop and timm's; and with the pictures on
# the device. Writes benchmarks/results/gpu.csv. About 15 minutes on one H100.
#
#     bash benchmarks/gpu.sh                     all of it
#     bash benchmarks/gpu.sh --tiny              seconds, on any machine: shows that the script runs
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
"$python" -c 'import torch, timm, lightning, albumentations' || {
    echo "error: install the package first: $python -m pip install -e ."
    exit 2
}
exec env PYTHONPATH=. "$python" benchmarks/gpu.py "$@"
