#!/usr/bin/env bash
# Prepares the toolchain that compiles Solana programs without Solana's platform-tools,
# from Debian packages and crates.io, and prints its folder. Does nothing but print
# when that toolchain is there already. Progress and errors go to standard error.
#
#   tools/sbf/setup.sh [--no-install]
#
# Nothing is installed on the machine: packages are unpacked below the folder. Missing
# tools that the kit itself is built with (g++, python3) are the exception: they are
# installed with apt-get where that needs no password; --no-install prevents it.
#
# The folder is ${SBF_CACHE_DIR:-${XDG_CACHE_HOME:-~/.cache}/klend-flash-liquidator}/sbf-KEY
# where KEY is a digest of the files beside this one, which hold the versions too. It
# appears by a rename when it is complete. It contains absolute paths: do not move it.

set -euo pipefail
export LC_ALL=C

kit=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=versions.sh
source "$kit/versions.sh"

say() { printf 'sbf kit: %s\n' "$*" >&2; }
die() {
  printf 'sbf kit: error: %s\n' "$1" >&2
  shift
  [ $# -eq 0 ] || printf '         %s\n' "$@" >&2
  exit 1
}

# --- where ------------------------------------------------------------------------

kit_key() {
  (
    cd -- "$kit"
    find . -type f ! -name README.md ! -path './*/target/*' -print0 | sort -z |
      xargs -0 sha256sum
    uname -m
  ) | sha256sum | cut -c1-16
}

# --- what the machine must have ---------------------------------------------------

# Installs Debian packages system-wide, if this user may.
install_packages() {
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null && sudo -n true 2>/dev/null ||
      die "these packages are missing: $*" "install them: sudo apt-get install $*"
    root=(sudo)
  fi
  say "installing with apt-get: $*"
  "${root[@]}" apt-get update -qq >&2
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@" >&2
}

check_machine() {
  local tool missing=()
  for tool in apt-get apt-cache dpkg; do
    command -v "$tool" >/dev/null || die "$tool is not there: the kit needs a Debian 12 machine" \
      "elsewhere, install Solana's own tools: https://docs.anza.xyz/cli/install"
  done
  command -v cargo >/dev/null || die "cargo is not there: install Rust from https://rustup.rs"
  command -v g++ >/dev/null || missing+=(g++)
  # A pyenv shim may be on the PATH without a Python behind it: run it.
  python3 -c '' 2>/dev/null || missing+=(python3)
  if [ ${#missing[@]} -gt 0 ]; then
    $may_install || die "these packages are missing: ${missing[*]}"
    install_packages "${missing[@]}"
  fi
  local free_kb
  free_kb=$(df --output=avail -k "$cache" | tail -1)
  [ "$free_kb" -ge 3000000 ] || die "$cache has $((free_kb / 1000)) MB free, set-up needs 3000 MB"
}

# --- Debian packages --------------------------------------------------------------

# Options that make apt use package lists of our own once they were fetched.
apt_options=()

fetch_package_lists() {
  say "  fetching Debian's current package lists"
  local state=$partial/apt
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  apt_options=(-o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state/cache"
    -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)")
  apt-get "${apt_options[@]}" update -qq >&2
}

is_available() { # PACKAGE VERSION
  apt-cache "${apt_options[@]}" madison "$1" 2>/dev/null |
    awk -F'|' -v want="$2" '{ gsub(/ /, "", $2); if ($2 == want) found = 1 } END { exit !found }'
}

candidate() { # PACKAGE
  apt-cache "${apt_options[@]}" policy "$1" | awk '$1 == "Candidate:" { print $2 }'
}

pick_version() { # PACKAGE PINNED
  if is_available "$1" "$2"; then
    printf '%s' "$2"
    return
  fi
  local version
  version=$(candidate "$1")
  [ -n "$version" ] && [ "$version" != "(none)" ] ||
    die "no configured package source has $1" \
      "the kit is made for Debian 12 with its suite bookworm-security"
  say "  note: Debian no longer has $1 $2, taking $version"
  printf '%s' "$version"
}

depends_of() { # PACKAGE VERSION
  apt-cache "${apt_options[@]}" show "$1=$2" | sed -n 's/^Depends: //p'
}

# Fills `packages` with what to download, as NAME=VERSION.
choose_packages() {
  local rust llvm std rust_llvm
  rust=$(pick_version rustc-web "$rust_version")
  llvm=$(pick_version "llvm-$llvm_major" "$llvm_version")
  std=$(depends_of libstd-rust-web-dev "$rust" | grep -o 'libstd-rust-web-[0-9.]*' | head -1)
  [ -n "$std" ] || die "libstd-rust-web-dev $rust does not name its library"
  rust_llvm=$(depends_of "$std" "$rust" | grep -o 'libllvm[0-9]*' | head -1)
  [ "$rust_llvm" = "libllvm$llvm_major" ] ||
    die "rustc-web $rust uses $rust_llvm, the kit is made for libllvm$llvm_major" \
      "adapt tools/sbf/versions.sh and tools/sbf/sbpf-ld/Cargo.toml"
  packages=("rustc-web=$rust" "libstd-rust-web-dev=$rust" "$std=$rust" "rust-web-src=$rust"
    "libllvm$llvm_major=$llvm" "llvm-$llvm_major=$llvm" "llvm-$llvm_major-dev=$llvm")
  # Shared libraries the machine lacks: what apt would install along.
  local name version
  while read -r name version; do
    case " ${packages[*]} " in *" $name="*) ;; *) packages+=("$name=$version") ;; esac
  done < <(apt-get "${apt_options[@]}" install --simulate --no-install-recommends \
    "libllvm$llvm_major=$llvm" "$std=$rust" libz3-4 libzstd1 libcurl4 |
    sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1 \2/p')
}

download_packages() {
  mkdir -p "$partial/debs"
  # The lists may be missing (a fresh machine) or older than the mirror: try with what
  # is there, fetch new ones when the pinned versions are not in them or are gone.
  if ! is_available rustc-web "$rust_version" ||
    ! is_available "llvm-$llvm_major" "$llvm_version"; then
    fetch_package_lists
  fi
  choose_packages
  fetch() { (cd "$partial/debs" && apt-get "${apt_options[@]}" \
    -o APT::Sandbox::User="$(id -un)" download -qq "${packages[@]}"); }
  if ! fetch && [ ${#apt_options[@]} -eq 0 ]; then
    fetch_package_lists
    choose_packages
    fetch || die "downloading from Debian failed (details above)"
  fi
}

unpack_packages() {
  local deb
  for deb in "$partial"/debs/*.deb; do
    dpkg -x "$deb" "$partial/root"
  done
  rm -rf "$partial/debs" "$partial/apt"
  local needed
  needed=$(LD_LIBRARY_PATH=$library_path ldd "$llvm"/bin/llc "$partial"/root/usr/bin/rustc |
    awk '/not found/ { print $1 }' | sort -u)
  [ -z "$needed" ] || die "shared libraries are missing on this machine:" "$needed"
}

# --- the kit's own parts ----------------------------------------------------------

install_scripts() {
  mkdir -p "$partial/bin"
  install -m 755 "$kit/rustc-wrapper" "$partial/bin/rustc"
  install -m 755 "$kit/rustc-wrapper" "$partial/bin/rustdoc"
  install -m 755 "$kit/sbf-link" "$kit/sbf-build" "$partial/bin/"
  # rustc takes the linker's path from here, so it is the final one.
  sed "s|@HOME@|$home|" "$kit/bpfel-solana.json.in" >"$partial/bpfel-solana.json"
  python3 "$kit/patch_std.py" "$partial/root/usr/lib/rustlib/src/rust/library"
}

build_sbfprep() {
  # One translation unit: reading LLVM's headers is most of the work.
  local source
  for source in "$kit"/sbfprep/*.cpp; do
    printf '#include "%s"\n' "$source"
  done | g++ -O1 -std=c++17 -Wall -Werror -fno-rtti \
    -D__STDC_CONSTANT_MACROS -D__STDC_FORMAT_MACROS -D__STDC_LIMIT_MACROS \
    -isystem "$partial/root/usr/include/llvm-$llvm_major" \
    -isystem "$partial/root/usr/include/llvm-c-$llvm_major" \
    -x c++ - -x none -o "$partial/bin/sbfprep" -L"$llvm/lib" "-lLLVM-$llvm_major" \
    -Wl,--allow-shlib-undefined
  # sbf-link sets the library path when it runs this.
}

build_sbpf_ld() {
  # Compiled by the machine's own Rust. llvm-sys looks for LLVM by these variables, the
  # second being named after the crate's version.
  (
    cd "$kit/sbpf-ld"
    LLVM_PREFIX=$llvm LLVM_SYS_221_PREFIX=$llvm PATH=$llvm/bin:$PATH \
      LD_LIBRARY_PATH=$library_path \
      cargo build --locked --target-dir "$partial/build/sbpf-ld"
  )
  install -m 755 "$partial/build/sbpf-ld/debug/sbpf-ld" "$partial/bin/"
}

# The runtime library as one bitcode module: Solana's functions (strong symbols) over
# those of Rust's compiler_builtins (weak ones).
build_builtins() {
  local members=$partial/build/builtins library member name
  mkdir -p "$members"
  (
    cd "$kit/rt"
    # Of the standard library it needs core alone.
    "$partial/bin/sbf-build" --quiet --locked -Zbuild-std=core --target-dir "$partial/build/rt"
  )
  export LD_LIBRARY_PATH=$library_path
  for library in "$partial"/build/rt/bpfel-solana/release/deps/lib{solana_,}compiler_builtins-*.rlib; do
    for member in $("$llvm/bin/llvm-ar" t "$library" | grep '\.o$'); do
      "$llvm/bin/llvm-ar" x --output="$members" "$library" "$member"
    done
  done
  "$llvm/bin/llvm-link" "$members"/{solana_,}compiler_builtins*.o -o "$members/all.bc"
  # What is undefined now are core's panics, which these functions never reach.
  {
    echo 'target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"'
    echo 'target triple = "bpfel"'
    echo 'declare void @abort()'
    for name in $("$llvm/bin/llvm-nm" -u "$members/all.bc" | awk '$2 != "abort" { print $2 }'); do
      printf 'define void @"%s"(ptr %%location) noreturn cold {\n' "$name"
      printf '  call void @abort()\n  unreachable\n}\n'
    done
  } >"$members/panics.ll"
  "$llvm/bin/llvm-link" "$members/all.bc" "$members/panics.ll" -o "$partial/builtins.bc"
  unset LD_LIBRARY_PATH
}

finish() {
  # Needed for building only; two thirds of the size.
  rm -rf "$partial/build" "$partial/root/usr/include" "$partial/root/usr/share"
  find "$llvm/lib" -name '*.a' -delete
  {
    printf 'kit %s, built %s\n' "$key" "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    printf '%s\n' "${packages[@]}"
  } >"$partial/versions.txt"
  mv "$partial" "$home"
}

# --- in order ---------------------------------------------------------------------

may_install=true
case ${1:-} in
  '') ;;
  --no-install) may_install=false ;;
  *) die "unknown option $1" "usage: setup.sh [--no-install]" ;;
esac

key=$(kit_key)
cache=${SBF_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/klend-flash-liquidator}
mkdir -p "$cache"
cache=$(cd -- "$cache" && pwd)
home=$cache/sbf-$key
partial=$home.partial

if [ ! -d "$home" ]; then
  # One set-up at a time; a second one waits and finds the work done.
  exec 9>"$cache/lock"
  if ! flock --nonblock 9; then
    say "waiting for another set-up to finish ($cache/lock)"
    flock 9
  fi
fi
if [ ! -d "$home" ]; then
  say "setting up the toolchain in $home (once, about 3 minutes)"
  # Left behind by a set-up that was killed.
  rm -rf "$partial"
  mkdir -p "$partial/root"
  trap 'rm -rf "$partial"' EXIT
  check_machine
  multiarch=$(g++ -print-multiarch)
  library_path=$partial/root/usr/lib/$multiarch:$partial/root/lib/$multiarch
  llvm=$partial/root/usr/lib/llvm-$llvm_major
  packages=()

  started=$SECONDS
  number=0
  step() { # DESCRIPTION FUNCTION
    number=$((number + 1))
    say "[$number/7] $1"
    "$2"
  }
  step "downloading Debian's rustc and LLVM (230 MB)" download_packages
  step "unpacking" unpack_packages
  step "patching the standard library" install_scripts
  step "compiling sbfprep" build_sbfprep
  step "compiling sbpf-ld (a minute)" build_sbpf_ld
  step "compiling the runtime library" build_builtins
  step "cleaning up" finish
  say "ready after $((SECONDS - started)) s: ${packages[0]}, ${packages[5]}"
fi
printf '%s\n' "$home"
