// Signed division and remainder by way of the unsigned ones. See passes.h.

#include "passes.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Instructions.h"

#include <vector>

using namespace llvm;

namespace {

bool isSignedDivision(const BinaryOperator &Op) {
  const auto Opcode = Op.getOpcode();
  return (Opcode == Instruction::SDiv || Opcode == Instruction::SRem) &&
         Op.getType()->isIntegerTy() && Op.getType()->getIntegerBitWidth() <= 64;
}

/// All ones for a negative value, zero otherwise.
Value *signMask(IRBuilder<> &Builder, Value *V) {
  return Builder.CreateAShr(V, V->getType()->getIntegerBitWidth() - 1);
}

/// Negates `V` where `Mask` is all ones (two's complement: (v ^ m) - m), which both
/// takes the magnitude before the division and restores the sign after it. The
/// magnitude of the smallest integer is right as an unsigned number.
Value *negateIf(IRBuilder<> &Builder, Value *V, Value *Mask) {
  return Builder.CreateSub(Builder.CreateXor(V, Mask), Mask);
}

void expand(BinaryOperator &Op) {
  IRBuilder<> Builder(&Op);
  // Each operand is used twice; freezing keeps both uses equal if it is undefined.
  Value *Dividend = Builder.CreateFreeze(Op.getOperand(0));
  Value *Divisor = Builder.CreateFreeze(Op.getOperand(1));
  Value *DividendSign = signMask(Builder, Dividend);
  Value *DivisorSign = signMask(Builder, Divisor);
  Value *DividendAbs = negateIf(Builder, Dividend, DividendSign);
  Value *DivisorAbs = negateIf(Builder, Divisor, DivisorSign);

  Value *Result;
  if (Op.getOpcode() == Instruction::SDiv) {
    Value *Quotient = Builder.CreateUDiv(DividendAbs, DivisorAbs);
    Result = negateIf(Builder, Quotient, Builder.CreateXor(DividendSign, DivisorSign));
  } else {
    // The remainder takes the sign of the dividend.
    Value *Remainder = Builder.CreateURem(DividendAbs, DivisorAbs);
    Result = negateIf(Builder, Remainder, DividendSign);
  }
  Op.replaceAllUsesWith(Result);
  Op.eraseFromParent();
}

} // namespace

void sbfprep::expandSignedDivision(Module &M) {
  std::vector<BinaryOperator *> Divisions;
  for (Function &F : M)
    for (BasicBlock &Block : F)
      for (Instruction &I : Block)
        if (auto *Op = dyn_cast<BinaryOperator>(&I); Op && isSignedDivision(*Op))
          Divisions.push_back(Op);
  for (BinaryOperator *Op : Divisions)
    expand(*Op);
}
