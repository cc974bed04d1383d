// sbfprep: prepares linked LLVM bitcode of a Solana program for the BPF backend.
//
//   sbfprep sections IN.bc OUT.bc               constants in sections of their own
//   sbfprep libcalls IN.bc OUT.bc BUILTINS.bc   explicit runtime-library calls
//   sbfprep abi      IN.bc OUT.bc               argument registers, signed division, traps
//
// Why each pass is needed is written in passes.h; sbf-link runs them in order.

#include "passes.h"

#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Verifier.h"
#include "llvm/IRReader/IRReader.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdlib>

using namespace llvm;

void sbfprep::fatal(const std::string &Message) {
  errs() << "sbfprep: error: " << Message << "\n";
  std::exit(1);
}

static std::unique_ptr<Module> readModule(const char *Path, LLVMContext &Context) {
  SMDiagnostic Diagnostic;
  auto M = parseIRFile(Path, Diagnostic, Context);
  if (!M) {
    Diagnostic.print("sbfprep", errs());
    std::exit(1);
  }
  return M;
}

static void writeModule(const Module &M, const char *Path) {
  if (verifyModule(M, &errs()))
    sbfprep::fatal("a pass produced invalid IR (details above)");
  std::error_code Error;
  raw_fd_ostream Out(Path, Error);
  if (Error)
    sbfprep::fatal(std::string(Path) + ": " + Error.message());
  WriteBitcodeToFile(M, Out);
}

int main(int argc, char **argv) {
  const StringRef Mode = argc > 1 ? argv[1] : "";
  LLVMContext Context;
  if (Mode == "sections" && argc == 4) {
    auto M = readModule(argv[2], Context);
    sbfprep::keepNamedSections(*M);
    writeModule(*M, argv[3]);
    return 0;
  }
  if (Mode == "libcalls" && argc == 5) {
    auto M = readModule(argv[2], Context);
    auto Builtins = readModule(argv[4], Context);
    sbfprep::lowerLibcalls(*M, *Builtins);
    writeModule(*M, argv[3]);
    return 0;
  }
  if (Mode == "abi" && argc == 4) {
    auto M = readModule(argv[2], Context);
    sbfprep::trapsToAbort(*M);
    sbfprep::expandSignedDivision(*M);
    sbfprep::fitCallRegisters(*M);
    writeModule(*M, argv[3]);
    return 0;
  }
  errs() << "usage: sbfprep sections IN.bc OUT.bc\n"
            "       sbfprep libcalls IN.bc OUT.bc BUILTINS.bc\n"
            "       sbfprep abi IN.bc OUT.bc\n";
  return 2;
}
