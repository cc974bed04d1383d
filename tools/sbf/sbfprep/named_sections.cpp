// Constants that a program puts into a section of its own. See passes.h.

#include "passes.h"

#include "llvm/Transforms/Utils/ModuleUtils.h"

#include <vector>

using namespace llvm;

void sbfprep::keepNamedSections(Module &M) {
  std::vector<GlobalValue *> Kept;
  for (GlobalVariable &Global : M.globals()) {
    // "llvm.metadata" marks LLVM's own bookkeeping.
    if (!Global.hasSection() || Global.isDeclaration() || !Global.isConstant() ||
        Global.getSection() == "llvm.metadata")
      continue;
    Global.setSection("");
    Kept.push_back(&Global);
  }
  appendToCompilerUsed(M, Kept);
}
