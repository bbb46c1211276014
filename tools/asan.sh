#!/bin/sh
# Builds the kernels with AddressSanitizer and UndefinedBehaviorSanitizer in build/asan, and runs their tests with them.
# `make test-asan`; the first complaint of a sanitizer ends the run. Further arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
compiler=${CC:-cc}
build=build/asan
site=$PWD/$build/site
"$PWD/.venv/bin/cmake" -S . -B "$build/cmake" -G Ninja -DSKBUILD_PROJECT_NAME=novastate -DPython_EXECUTABLE="$python" \
  -DCMAKE_MAKE_PROGRAM="$PWD/.venv/bin/ninja" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_INSTALL_PREFIX="$site" \
  -DCMAKE_C_FLAGS="-g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" > /dev/null
"$PWD/.venv/bin/cmake" --build "$build/cmake" -- --quiet
rm -rf "$site"
mkdir -p "$site"
cp -R src/novastate "$site"
"$PWD/.venv/bin/cmake" --install "$build/cmake" > /dev/null

# The package of $site, before the finder of the installed one; the libraries, before anything that allocates.
run='import sys; sys.meta_path[:] = [f for f in sys.meta_path if isinstance(f, type)]; sys.path.insert(0, sys.argv.pop(1))
import novastate, pytest; assert novastate.__file__.startswith(sys.path[0]), novastate.__file__
sys.exit(pytest.main(sys.argv[1:]))'
export NOVASTATE_NATIVE=require HYPOTHESIS_PROFILE=ci PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so)" \
  exec "$python" -c "$run" "$site" -q -p no:cacheprovider --ignore=tests/_native/test_chooser.py --ignore=tests/_native/test_codec.py \
  tests/_native tests/convergence/curves/test_traces.py tests/convergence/curves/test_bitmaps.py tests/convergence/curves/test_samples.py \
  tests/machines/test_fleet.py "$@"
