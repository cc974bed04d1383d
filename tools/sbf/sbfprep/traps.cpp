// Traps become calls of Solana's syscall `abort`. See passes.h.

#include "passes.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"

#include <vector>

using namespace llvm;

namespace {

bool isTrap(const Instruction &I) {
  auto *Intrinsic = dyn_cast<IntrinsicInst>(&I);
  if (!Intrinsic)
    return false;
  switch (Intrinsic->getIntrinsicID()) {
  case Intrinsic::trap:
  case Intrinsic::debugtrap:
  case Intrinsic::ubsantrap:
    return true;
  default:
    return false;
  }
}

/// `unreachable` after a call that does not return needs no trap.
bool needsTrap(const Instruction &I) {
  if (!isa<UnreachableInst>(I))
    return false;
  auto *Previous = dyn_cast_or_null<CallInst>(I.getPrevNode());
  return !Previous || !(Previous->doesNotReturn() || isTrap(*Previous));
}

} // namespace

void sbfprep::trapsToAbort(Module &M) {
  LLVMContext &Context = M.getContext();
  std::vector<Instruction *> Traps, Unreachable;
  for (Function &F : M)
    for (BasicBlock &Block : F)
      for (Instruction &I : Block) {
        if (isTrap(I))
          Traps.push_back(&I);
        else if (needsTrap(I))
          Unreachable.push_back(&I);
      }
  if (Traps.empty() && Unreachable.empty())
    return;

  FunctionCallee Abort = M.getOrInsertFunction("abort", Type::getVoidTy(Context));
  auto CallAbort = [&](Instruction *Before) {
    IRBuilder<>(Before).CreateCall(Abort)->setDoesNotReturn();
  };
  for (Instruction *I : Unreachable)
    CallAbort(I);
  for (Instruction *I : Traps) {
    CallAbort(I);
    I->eraseFromParent();
  }
}
