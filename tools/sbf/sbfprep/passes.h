// The passes that make rustc's LLVM IR acceptable to LLVM's stock BPF backend.
//
// Solana's platform-tools carry a patched LLVM whose "SBF" backend knows 128-bit
// arithmetic, more than five arguments, traps and so on. Debian's LLVM has
// the kernel's BPF backend, which refuses all of these. Instead of patching the
// backend, the passes here rewrite the IR so that nothing it refuses is left.
#pragma once

#include "llvm/IR/Module.h"

#include <string>

namespace sbfprep {

/// Keeps constants that are placed in a section by name, such as `.security.txt`: they
/// are for readers of the file, so nothing in the program refers to them. They move to
/// the read-only data, the only place for constants that sbpf-ld knows. To be run before
/// anything unused is removed.
void keepNamedSections(llvm::Module &M);

/// Replaces everything that instruction selection would turn into a call of the
/// compiler's runtime library by an explicit call, because the BPF backend aborts
/// on such implicit calls: arithmetic wider than 64 bits, floating point,
/// overflow-checked multiplication, and memory operations too long to inline.
///
/// `Builtins` is the runtime library as bitcode. Only the signatures are taken from
/// it; the caller links the bodies in afterwards, and runs the pass again over what
/// was linked, since the bodies use the same operations.
void lowerLibcalls(llvm::Module &M, const llvm::Module &Builtins);

/// Rewrites signed division and remainder of up to 64 bits with unsigned ones:
/// sBPF v0 has no signed division.
void expandSignedDivision(llvm::Module &M);

/// Fits calls and functions to BPF's five argument registers: what does not fit
/// travels in a struct behind a pointer. (rustc itself returns everything that is wider
/// than BPF's one result register through a pointer.)
void fitCallRegisters(llvm::Module &M);

/// Replaces traps, and code that control never reaches, by calls of the syscall
/// `abort`. The backend would call `__bpf_trap`, which exists in Linux only and makes
/// Solana's loader refuse the program.
void trapsToAbort(llvm::Module &M);

/// Reports what makes it impossible to go on, and ends the process.
[[noreturn]] void fatal(const std::string &Message);

} // namespace sbfprep
