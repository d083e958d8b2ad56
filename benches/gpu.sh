#!/usr/bin/env bash
# Tests and measures everything on a machine with an NVIDIA device, in about ten minutes:
#
#   benches/gpu.sh [PROGRAM SUITE]
#
# PROGRAM and SUITE are the program and its tests, built elsewhere; without them they are built here by
#
#   cargo build --release --no-default-features --features cli,cuda
#   cargo test --release --no-default-features --features cli,cuda --test suite --no-run
#
# Results go to standard output: benches/README.md has a table for them. Archives of about 5 GB go to $TMPDIR or /tmp.
set -euo pipefail
cd "$(dirname "$0")/.."
features=(--release --no-default-features --features cli,cuda)
if [ $# -eq 2 ]; then
    program=$1 suite=$2
else
    cargo build "${features[@]}"
    program=target/release/nckit
    suite=$(cargo test "${features[@]}" --test suite --no-run 2>&1 | sed -n 's/.*(\(.*suite-[0-9a-f]*\)).*/\1/p')
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

echo "# The kernels against the CPU, on the device"
NCKIT_REQUIRE_CUDA=1 "$suite" cuda:: --test-threads 4
if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck; do
        echo "# compute-sanitizer $tool"
        NCKIT_REQUIRE_CUDA=1 compute-sanitizer --tool "$tool" --error-exitcode 1 "$suite" cuda::sums::several --test-threads 1
    done
fi

NCKIT_ARCHIVES=$folder "$suite" --ignored archives_for_a_device
echo "# The parts of the work, beside what bounds them"
for archive in d512 d768 d2048; do
    echo "## $archive"
    "$program" bench "$folder/$archive" --device cuda
done

echo "# States, which must be the same, and seconds"
for archive in d512 d768 d2048 zipf half double far; do
    for device in cpu cuda; do
        start=$(date +%s.%N)
        "$program" accumulate "$folder/$archive" -o "$folder/$device.ncst" --overwrite --device "$device" -q
        echo "$archive $device $(echo "$(date +%s.%N) - $start" | bc)"
    done
    cmp "$folder/cpu.ncst" "$folder/cuda.ncst"
done
echo "# all states are equal"
