# What the toolchain is made of: Debian packages of these versions (Debian 12,
# suite bookworm-security). Read by setup.sh, and part of the cache's key.

# rustc, the standard library for the host, and the sources of std.
rust_version=1.96.0+dfsg1-1~deb12u2
# LLVM must be the major version that rustc uses, because it reads rustc's bitcode, and
# the one that sbpf-ld (crate bpf-linker) is configured for.
llvm_major=22
llvm_version=1:22.1.8-1~deb12u1
