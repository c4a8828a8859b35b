# Shared by tests/run, tests/demo and .ci/run; to be sourced.
# shellcheck shell=bash disable=SC2034

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

PACKAGES_BUILD=(gcc g++ libc6-dev cmake ninja-build pkg-config libevent-dev libprotobuf-c-dev protobuf-c-compiler
    libcmocka-dev libsystemd-dev libjansson-dev libbsd-dev zlib1g-dev libncurses-dev)
# Without these some tests are skipped.
PACKAGES_TEST=(python3 mandoc python3-protobuf protobuf-compiler e2fsprogs xfsprogs btrfs-progs mount procps systemd-container
    dpkg-dev strace python3-numpy sqlite3 xz-utils jq
    python3-pyte bash-completion zsh fish libjemalloc2 rustc cargo libstb-dev uthash-dev liblua5.4-dev libsqlite3-dev)
# Other programs that tests/preload runs, if they are there: default-jdk-headless nodejs r-base-core
# and tests/metrics: prometheus python3-prometheus-client chromium

# Contenders of the benchmarks, and what draws their charts.
PACKAGES_BENCH=(libmemkind-dev libstxxl-dev libboost-dev liblmdb-dev liblz4-dev fio gnuplot-nox)

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# packages_missing PACKAGE...: those that are not installed, a line each
packages_missing() {
    local package status
    for package in "$@"; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=
        [ "$status" = installed ] || echo "$package"
    done
}

packages_install() {
    local -x DEBIAN_FRONTEND=noninteractive
    echo "installing: $*"
    apt-get update -qq </dev/null
    apt-get install -qq -y --no-install-recommends "$@" </dev/null >/dev/null
}

# packages_ensure needed|useful PACKAGE...: installs what is missing; a user who can't is told what to install
packages_ensure() {
    local kind=$1 missing
    shift
    command -v dpkg-query >/dev/null || return 0
    mapfile -t missing < <(packages_missing "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ]; then
        packages_install "${missing[@]}"
    elif [ "$kind" = needed ]; then
        die "packages are missing and only root can install them: apt-get install ${missing[*]}"
    else
        echo "some tests will be skipped; to run them all: apt-get install ${missing[*]}"
    fi
}

# build_dir PRESET: sets BUILD. A checkout that this user can't write to is built in a temporary directory.
build_dir() {
    local base=${DISKALLOC_BUILD_DIR:-$ROOT/build}
    BUILD=$base/$1
    BUILD_IS_TEMPORARY=
    if mkdir -p "$BUILD" 2>/dev/null && [ -w "$BUILD" ] &&
        { [ ! -e "$BUILD/CMakeCache.txt" ] || [ -w "$BUILD/CMakeCache.txt" ]; }; then
        return
    fi
    [ -z "${DISKALLOC_BUILD_DIR:-}" ] || die "can't write to DISKALLOC_BUILD_DIR, $DISKALLOC_BUILD_DIR"
    BUILD_IS_TEMPORARY=$(mktemp -d "${TMPDIR:-/var/tmp}/diskalloc-build-XXXXXX")
    BUILD=$BUILD_IS_TEMPORARY/$1
    echo "can't write to $base: building in $BUILD"
}

build_remove_temporary() {
    [ -z "${BUILD_IS_TEMPORARY:-}" ] || rm -rf "$BUILD_IS_TEMPORARY"
}

# build PRESET [TARGET...]: configures and builds into $BUILD; prints only what went wrong.  With $DISKALLOC_WERROR, warnings are errors.
# Another build there is waited for.
build() {
    local preset=$1 log options=()
    shift
    mkdir -p "$BUILD"
    log=$BUILD/build.log
    if [ -e "$BUILD/CMakeCache.txt" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$ROOT" "$BUILD/CMakeCache.txt"; then
        options=(--fresh)
    fi
    [ -z "${DISKALLOC_WERROR:-}" ] || options+=(-D DISKALLOC_WERROR=ON)
    echo "building in $BUILD"
    if ! (
        exec 9<"$BUILD" </dev/null && flock 9 && exec >"$log" 2>&1 && cd "$ROOT" &&
            cmake "${options[@]}" --preset "$preset" -B "$BUILD" && cmake --build "$BUILD" --target "${@:-all}"
    ); then
        # from what went wrong first, if that can be told
        { grep -m1 -A60 -E '^FAILED:|CMake Error' "$log" || tail -n 60 "$log"; } >&2
        die "the build failed; all it said is in $log"
    fi
    grep -E 'warning:' "$log" || true
}
