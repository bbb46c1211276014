#!/bin/sh
# The kernels' NEON variants beside plain C, under qemu: needs the packages gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user.
set -eu
cd "$(dirname "$0")/.."
native=src/novastate/_native
mkdir -p build
aarch64-linux-gnu-gcc -static -O3 -ffp-contract=off -std=gnu11 -Wall -Wextra -Werror -I "$native" -o build/neon tests/_native/neon.c \
  "$native/dispatch.c" "$native/bitmaps.c" "$native/footprint.c" "$native/footprint_choose.c" "$native/tables.c"
qemu-aarch64 build/neon
