// Explicit calls of the runtime library. See passes.h.

#include "passes.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/Support/MathExtras.h"

#include <map>
#include <tuple>
#include <vector>

using namespace llvm;
using sbfprep::fatal;

namespace {

/// Longest constant-size memory operation left for the backend to write out as
/// loads and stores; longer ones become calls, which end in a syscall.
constexpr uint64_t InlineMemoryBytes = 64;

class LibcallLowering {
public:
  LibcallLowering(Module &M, const Module &Builtins)
      : M(M), Builtins(Builtins), Context(M.getContext()), I32(Type::getInt32Ty(Context)),
        I64(Type::getInt64Ty(Context)), I128(Type::getInt128Ty(Context)),
        Pointer(PointerType::getUnqual(Context)) {}

  void run() {
    // Collected first: lowering adds instructions to the blocks being walked.
    std::vector<Instruction *> Instructions;
    for (Function &F : M)
      for (BasicBlock &Block : F)
        for (Instruction &I : Block)
          Instructions.push_back(&I);
    for (Instruction *I : Instructions)
      lower(*I);
  }

private:
  Module &M;
  const Module &Builtins;
  LLVMContext &Context;
  Type *I32, *I64, *I128, *Pointer;
  /// Stack slots for passing values by pointer, shared by all lowered operations of a
  /// function: each use is stored, called and loaded before the next one begins.
  std::map<std::tuple<Function *, Type *, unsigned>, AllocaInst *> Slots;

  void lower(Instruction &I) {
    IRBuilder<> Builder(&I);
    Value *Replacement = nullptr;
    if (auto *Operation = dyn_cast<BinaryOperator>(&I))
      Replacement = lowerBinary(Builder, *Operation);
    else if (auto *Cast = dyn_cast<CastInst>(&I))
      Replacement = lowerCast(Builder, *Cast);
    else if (auto *Compare = dyn_cast<FCmpInst>(&I))
      Replacement = lowerFloatCompare(Builder, *Compare);
    else if (auto *Memory = dyn_cast<MemIntrinsic>(&I))
      return lowerMemory(Builder, *Memory);
    else if (auto *Checked = dyn_cast<WithOverflowInst>(&I))
      Replacement = lowerCheckedMultiply(Builder, *Checked);
    else if (auto *Intrinsic = dyn_cast<IntrinsicInst>(&I))
      Replacement = lowerFloatIntrinsic(Builder, *Intrinsic);
    if (Replacement) {
      I.replaceAllUsesWith(Replacement);
      I.eraseFromParent();
    }
  }

  // --- calling the library ------------------------------------------------------

  enum SlotRole : unsigned { ResultSlot = 0, OutSlot = 1, FirstArgumentSlot = 2 };

  AllocaInst *slot(Function *F, Type *T, unsigned Role) {
    AllocaInst *&Slot = Slots[{F, T, Role}];
    if (!Slot) {
      BasicBlock &Entry = F->getEntryBlock();
      Slot = IRBuilder<>(&Entry, Entry.getFirstInsertionPt()).CreateAlloca(T);
    }
    return Slot;
  }

  /// Calls the library function `Name` with the convention its definition really has:
  /// rustc returns 128-bit integers through a first argument and passes them by value
  /// or by pointer, depending on the function.
  Value *call(IRBuilder<> &Builder, const std::string &Name, Type *Result,
              ArrayRef<Value *> Arguments) {
    const Function *Definition = Builtins.getFunction(Name);
    if (!Definition)
      fatal("the runtime library has no " + Name);
    FunctionType *Type = Definition->getFunctionType();
    Function *Caller = Builder.GetInsertBlock()->getParent();

    std::vector<Value *> Actual;
    AllocaInst *Returned = nullptr;
    if (Type->getReturnType()->isVoidTy() && !Result->isVoidTy()) {
      Returned = slot(Caller, Result, ResultSlot);
      Actual.push_back(Returned);
    }
    if (Type->getNumParams() != Actual.size() + Arguments.size())
      fatal(Name + " takes another number of arguments than expected");
    for (unsigned I = 0; I < Arguments.size(); I++) {
      Value *Argument = Arguments[I];
      auto *Expected = Type->getParamType(Actual.size());
      if (Expected->isPointerTy() && !Argument->getType()->isPointerTy()) {
        AllocaInst *Slot = slot(Caller, Argument->getType(), FirstArgumentSlot + I);
        Builder.CreateStore(Argument, Slot);
        Argument = Slot;
      } else if (Expected->isIntegerTy()) {
        Argument = Builder.CreateZExtOrTrunc(Argument, Expected);
      }
      Actual.push_back(Argument);
    }

    CallInst *Call = Builder.CreateCall(M.getOrInsertFunction(Name, Type), Actual);
    Call->setCallingConv(Definition->getCallingConv());
    // Otherwise LLVM may recognise the function and turn the call back into the
    // operation that was just replaced.
    Call->addFnAttr(Attribute::NoBuiltin);
    if (Returned)
      return Builder.CreateLoad(Result, Returned);
    if (Result->isIntegerTy())
      return Builder.CreateSExtOrTrunc(Call, Result);
    return Call;
  }

  Value *extend(IRBuilder<> &Builder, Value *V, Type *To, bool Signed) {
    return Signed ? Builder.CreateSExt(V, To) : Builder.CreateZExt(V, To);
  }

  // --- integers ----------------------------------------------------------------

  Value *lowerBinary(IRBuilder<> &Builder, BinaryOperator &Operation) {
    Type *T = Operation.getType();
    if (T->isFloatTy() || T->isDoubleTy())
      return lowerFloatBinary(Builder, Operation);
    if (!T->isIntegerTy() || T->getIntegerBitWidth() <= 64)
      return nullptr;
    if (Operation.isShift())
      return lowerShift(Builder, Operation);

    const auto Opcode = Operation.getOpcode();
    const char *Name = nullptr;
    switch (Opcode) {
    case Instruction::Mul: Name = "__multi3"; break;
    case Instruction::UDiv: Name = "__udivti3"; break;
    case Instruction::URem: Name = "__umodti3"; break;
    case Instruction::SDiv: Name = "__divti3"; break;
    case Instruction::SRem: Name = "__modti3"; break;
    default: return nullptr;
    }
    // The library's own body of the operation must not become a call of itself.
    if (Operation.getFunction()->getName() == Name)
      return nullptr;
    const bool Signed = Opcode == Instruction::SDiv || Opcode == Instruction::SRem;
    // The backend turns these into shifts and masks.
    if (auto *Constant = dyn_cast<ConstantInt>(Operation.getOperand(1));
        Constant && Constant->getValue().isPowerOf2() && !Signed)
      return nullptr;

    const unsigned Width = T->getIntegerBitWidth();
    if (Width > 128) {
      // Wide division is expanded into a loop by LLVM itself.
      return Opcode == Instruction::Mul ? wideMultiply(Builder, Operation) : nullptr;
    }
    Value *Left = extend(Builder, Operation.getOperand(0), I128, Signed);
    Value *Right = extend(Builder, Operation.getOperand(1), I128, Signed);
    return Builder.CreateTrunc(call(Builder, Name, I128, {Left, Right}), T);
  }

  /// A shift of 65 to 128 bits by a variable amount, in two 64-bit halves.
  /// Shifts by a constant, and of wider integers, are no trouble for the backend.
  Value *lowerShift(IRBuilder<> &Builder, BinaryOperator &Operation) {
    Type *T = Operation.getType();
    if (isa<ConstantInt>(Operation.getOperand(1)) || T->getIntegerBitWidth() > 128)
      return nullptr;
    const auto Opcode = Operation.getOpcode();
    const bool Arithmetic = Opcode == Instruction::AShr;
    Value *Shifted = extend(Builder, Operation.getOperand(0), I128, Arithmetic);
    Value *Amount = Builder.CreateZExtOrTrunc(Operation.getOperand(1), I64);
    Value *Low = Builder.CreateTrunc(Shifted, I64);
    Value *High = Builder.CreateTrunc(Builder.CreateLShr(Shifted, 64), I64);
    Value *Zero = ConstantInt::get(I64, 0);

    // Within a half: `Inner` bits, and 63 - `Inner` for the bits that cross over. The
    // crossing shift is split in two (by one, then by the rest), because a shift by
    // 64 - Inner would be undefined for Inner = 0.
    Value *Inner = Builder.CreateAnd(Amount, 63);
    Value *Crossing = Builder.CreateXor(Inner, ConstantInt::get(I64, 63));
    Value *WholeHalf = Builder.CreateICmpNE(Builder.CreateAnd(Amount, 64), Zero);

    Value *NewLow, *NewHigh;
    if (Opcode == Instruction::Shl) {
      Value *LowShifted = Builder.CreateShl(Low, Inner);
      Value *Carried = Builder.CreateLShr(Builder.CreateLShr(Low, 1), Crossing);
      Value *HighShifted = Builder.CreateOr(Builder.CreateShl(High, Inner), Carried);
      NewLow = Builder.CreateSelect(WholeHalf, Zero, LowShifted);
      NewHigh = Builder.CreateSelect(WholeHalf, LowShifted, HighShifted);
    } else {
      Value *HighShifted =
          Arithmetic ? Builder.CreateAShr(High, Inner) : Builder.CreateLShr(High, Inner);
      Value *Carried = Builder.CreateShl(Builder.CreateShl(High, 1), Crossing);
      Value *LowShifted = Builder.CreateOr(Builder.CreateLShr(Low, Inner), Carried);
      Value *Fill = Arithmetic ? Builder.CreateAShr(High, 63) : Zero;
      NewLow = Builder.CreateSelect(WholeHalf, HighShifted, LowShifted);
      NewHigh = Builder.CreateSelect(WholeHalf, Fill, HighShifted);
    }
    Value *Joined = Builder.CreateOr(Builder.CreateZExt(NewLow, I128),
                                     Builder.CreateShl(Builder.CreateZExt(NewHigh, I128), 64));
    return Builder.CreateTrunc(Joined, T);
  }

  /// Multiplication of more than 128 bits, by 64-bit limbs. LLVM merges chains of
  /// 128-bit products into such an operation.
  Value *wideMultiply(IRBuilder<> &Builder, BinaryOperator &Operation) {
    const unsigned Limbs = divideCeil(Operation.getType()->getIntegerBitWidth(), 64);
    Type *T = Type::getIntNTy(Context, Limbs * 64);
    auto LimbsOf = [&](Value *V) {
      // Limbs that are known to be zero stay null and are skipped.
      unsigned Known = Limbs;
      if (auto *Extended = dyn_cast<ZExtInst>(V))
        Known = divideCeil(Extended->getSrcTy()->getIntegerBitWidth(), 64);
      Value *Wide = Builder.CreateZExt(V, T);
      std::vector<Value *> Result(Limbs, nullptr);
      for (unsigned I = 0; I < Known; I++) {
        Value *Limb = Builder.CreateTrunc(Builder.CreateLShr(Wide, 64 * I), I64);
        if (auto *Constant = dyn_cast<ConstantInt>(Limb); !Constant || !Constant->isZero())
          Result[I] = Builder.CreateZExt(Limb, I128);
      }
      return Result;
    };
    const auto Left = LimbsOf(Operation.getOperand(0));
    const auto Right = LimbsOf(Operation.getOperand(1));
    Value *Sum = ConstantInt::get(T, 0);
    for (unsigned I = 0; I < Limbs; I++)
      for (unsigned J = 0; I + J < Limbs; J++)
        if (Left[I] && Right[J]) {
          Value *Product = call(Builder, "__multi3", I128, {Left[I], Right[J]});
          // The top limb of the result only has room for the lower half of a product.
          Value *Placed = Builder.CreateShl(Builder.CreateZExt(Product, T), 64 * (I + J));
          Sum = Builder.CreateAdd(Sum, Placed);
        }
    return Builder.CreateTrunc(Sum, Operation.getType());
  }

  /// {product, overflowed} of 64 bits and more. Narrower ones are widened by LLVM, and
  /// overflow-checked addition and subtraction need no library.
  Value *lowerCheckedMultiply(IRBuilder<> &Builder, WithOverflowInst &Checked) {
    Type *T = Checked.getLHS()->getType();
    if (Checked.getBinaryOp() != Instruction::Mul || !T->isIntegerTy() ||
        T->getIntegerBitWidth() < 64)
      return nullptr;
    const unsigned Width = T->getIntegerBitWidth();
    if (Width > 128)
      fatal("overflow-checked multiplication of " + std::to_string(Width) + " bits in " +
            Checked.getFunction()->getName().str());
    const bool Signed = Checked.isSigned();
    Value *Left = extend(Builder, Checked.getLHS(), I128, Signed);
    Value *Right = extend(Builder, Checked.getRHS(), I128, Signed);

    Value *Product, *Overflowed;
    if (Width == 64) {
      // The product of two 64-bit values always fits in 128 bits.
      Product = call(Builder, "__multi3", I128, {Left, Right});
      Overflowed = Builder.getFalse();
    } else {
      AllocaInst *Out = slot(Checked.getFunction(), I32, OutSlot);
      Product = call(Builder, Signed ? "__rust_i128_mulo" : "__rust_u128_mulo", I128,
                     {Left, Right, Out});
      Overflowed =
          Builder.CreateICmpNE(Builder.CreateLoad(I32, Out), ConstantInt::get(I32, 0));
    }
    Value *Truncated = Builder.CreateTrunc(Product, T);
    if (Width < 128) {
      Value *Back = extend(Builder, Truncated, I128, Signed);
      Overflowed = Builder.CreateOr(Overflowed, Builder.CreateICmpNE(Back, Product));
    }
    Value *Pair = Builder.CreateInsertValue(PoisonValue::get(Checked.getType()), Truncated, 0);
    return Builder.CreateInsertValue(Pair, Overflowed, 1);
  }

  // --- memory ------------------------------------------------------------------

  void lowerMemory(IRBuilder<> &Builder, MemIntrinsic &Memory) {
    if (auto *Length = dyn_cast<ConstantInt>(Memory.getLength());
        Length && Length->getZExtValue() <= InlineMemoryBytes)
      return;
    Value *Length = Builder.CreateZExtOrTrunc(Memory.getLength(), I64);
    if (auto *Set = dyn_cast<MemSetInst>(&Memory)) {
      Value *Byte = Builder.CreateZExt(Set->getValue(), I32);
      call(Builder, "memset", Pointer, {Set->getRawDest(), Byte, Length});
    } else {
      auto &Transfer = cast<MemTransferInst>(Memory);
      call(Builder, isa<MemMoveInst>(Memory) ? "memmove" : "memcpy", Pointer,
           {Transfer.getRawDest(), Transfer.getRawSource(), Length});
    }
    Memory.eraseFromParent();
  }

  // --- floating point ----------------------------------------------------------
  // BPF has no floating-point registers: every operation is a library call, except
  // those on the bits alone (negation, absolute value, sign copy), which the backend
  // does with integers.

  static bool isFloat(Type *T) { return T->isFloatTy() || T->isDoubleTy(); }
  /// The library's suffix for a floating-point type.
  static std::string suffix(Type *T) { return T->isFloatTy() ? "sf" : "df"; }

  Value *lowerFloatBinary(IRBuilder<> &Builder, BinaryOperator &Operation) {
    Type *T = Operation.getType();
    std::string Name;
    switch (Operation.getOpcode()) {
    case Instruction::FAdd: Name = "__add" + suffix(T) + "3"; break;
    case Instruction::FSub: Name = "__sub" + suffix(T) + "3"; break;
    case Instruction::FMul: Name = "__mul" + suffix(T) + "3"; break;
    case Instruction::FDiv: Name = "__div" + suffix(T) + "3"; break;
    case Instruction::FRem: Name = T->isFloatTy() ? "fmodf" : "fmod"; break;
    default: return nullptr;
    }
    if (Operation.getFunction()->getName() == Name)
      return nullptr;
    return call(Builder, Name, T, {Operation.getOperand(0), Operation.getOperand(1)});
  }

  Value *lowerCast(IRBuilder<> &Builder, CastInst &Cast) {
    Type *From = Cast.getSrcTy(), *To = Cast.getDestTy();
    Value *V = Cast.getOperand(0);
    switch (Cast.getOpcode()) {
    case Instruction::UIToFP:
    case Instruction::SIToFP: {
      if (!isFloat(To) || !From->isIntegerTy())
        return nullptr;
      const bool Signed = Cast.getOpcode() == Instruction::SIToFP;
      const bool Wide = integerWidth(Cast, From) > 64;
      std::string Name = std::string(Signed ? "__float" : "__floatun") + (Wide ? "ti" : "di");
      return call(Builder, Name + suffix(To), To,
                  {extend(Builder, V, Wide ? I128 : I64, Signed)});
    }
    case Instruction::FPToUI:
    case Instruction::FPToSI: {
      if (!isFloat(From) || !To->isIntegerTy())
        return nullptr;
      const bool Signed = Cast.getOpcode() == Instruction::FPToSI;
      return Builder.CreateTrunc(floatToInteger(Builder, V, Signed, integerWidth(Cast, To) > 64),
                                 To);
    }
    case Instruction::FPExt:
      return From->isFloatTy() && To->isDoubleTy() ? call(Builder, "__extendsfdf2", To, {V})
                                                   : nullptr;
    case Instruction::FPTrunc:
      return From->isDoubleTy() && To->isFloatTy() ? call(Builder, "__truncdfsf2", To, {V})
                                                   : nullptr;
    default:
      return nullptr;
    }
  }

  unsigned integerWidth(Instruction &I, Type *T) {
    const unsigned Width = T->getIntegerBitWidth();
    if (Width > 128)
      fatal("conversion between floating point and " + std::to_string(Width) + " bits in " +
            I.getFunction()->getName().str());
    return Width;
  }

  /// Rust's library saturates at the bounds of the 64- or 128-bit type, NaN gives 0.
  Value *floatToInteger(IRBuilder<> &Builder, Value *V, bool Signed, bool Wide) {
    std::string Name = std::string(Signed ? "__fix" : "__fixuns") + suffix(V->getType());
    return call(Builder, Name + (Wide ? "ti" : "di"), Wide ? I128 : I64, {V});
  }

  /// A saturating conversion to any width: Rust's `as`.
  Value *saturatingConversion(IRBuilder<> &Builder, IntrinsicInst &Intrinsic, bool Signed) {
    Type *T = Intrinsic.getType();
    Value *V = Intrinsic.getArgOperand(0);
    if (!T->isIntegerTy() || !isFloat(V->getType()))
      return nullptr;
    const unsigned Width = integerWidth(Intrinsic, T);
    Value *Integer = floatToInteger(Builder, V, Signed, Width > 64);
    Type *Wider = Integer->getType();
    if (T == Wider)
      return Integer;
    const unsigned WiderBits = Wider->getIntegerBitWidth();
    auto Clamp = [&](CmpInst::Predicate Beyond, const APInt &Bound) {
      Value *Limit = ConstantInt::get(Wider, Bound);
      Value *IsBeyond = Builder.CreateICmp(Beyond, Integer, Limit);
      Integer = Builder.CreateSelect(IsBeyond, Limit, Integer);
    };
    if (Signed) {
      Clamp(CmpInst::ICMP_SGT, APInt::getSignedMaxValue(Width).sext(WiderBits));
      Clamp(CmpInst::ICMP_SLT, APInt::getSignedMinValue(Width).sext(WiderBits));
    } else {
      Clamp(CmpInst::ICMP_UGT, APInt::getMaxValue(Width).zext(WiderBits));
    }
    return Builder.CreateTrunc(Integer, T);
  }

  Value *lowerFloatCompare(IRBuilder<> &Builder, FCmpInst &Compare) {
    Value *Left = Compare.getOperand(0), *Right = Compare.getOperand(1);
    if (!isFloat(Left->getType()))
      return nullptr;
    // Each library comparison returns a number whose relation to zero is the answer.
    // For unordered operands it is chosen so that the comparison of its name is false;
    // an "or unordered" predicate is therefore the negation of its opposite.
    auto Is = [&](const char *Name, CmpInst::Predicate Relation) {
      Value *Outcome = call(Builder, "__" + std::string(Name) + suffix(Left->getType()) + "2",
                            I32, {Left, Right});
      return Builder.CreateICmp(Relation, Outcome, ConstantInt::get(I32, 0));
    };
    switch (Compare.getPredicate()) {
    case CmpInst::FCMP_OEQ: return Is("eq", CmpInst::ICMP_EQ);
    case CmpInst::FCMP_UNE: return Is("ne", CmpInst::ICMP_NE);
    case CmpInst::FCMP_OLT: return Is("lt", CmpInst::ICMP_SLT);
    case CmpInst::FCMP_OLE: return Is("le", CmpInst::ICMP_SLE);
    case CmpInst::FCMP_OGT: return Is("gt", CmpInst::ICMP_SGT);
    case CmpInst::FCMP_OGE: return Is("ge", CmpInst::ICMP_SGE);
    case CmpInst::FCMP_ULT: return Is("ge", CmpInst::ICMP_SLT);
    case CmpInst::FCMP_ULE: return Is("gt", CmpInst::ICMP_SLE);
    case CmpInst::FCMP_UGT: return Is("le", CmpInst::ICMP_SGT);
    case CmpInst::FCMP_UGE: return Is("lt", CmpInst::ICMP_SGE);
    case CmpInst::FCMP_UNO: return Is("unord", CmpInst::ICMP_NE);
    case CmpInst::FCMP_ORD: return Is("unord", CmpInst::ICMP_EQ);
    case CmpInst::FCMP_ONE:
      return Builder.CreateOr(Is("lt", CmpInst::ICMP_SLT), Is("gt", CmpInst::ICMP_SGT));
    case CmpInst::FCMP_UEQ:
      return Builder.CreateNot(
          Builder.CreateOr(Is("lt", CmpInst::ICMP_SLT), Is("gt", CmpInst::ICMP_SGT)));
    default: return nullptr; // constant true or false
    }
  }

  Value *lowerFloatIntrinsic(IRBuilder<> &Builder, IntrinsicInst &Intrinsic) {
    const char *Name = nullptr;
    switch (Intrinsic.getIntrinsicID()) {
    case Intrinsic::fptoui_sat: return saturatingConversion(Builder, Intrinsic, false);
    case Intrinsic::fptosi_sat: return saturatingConversion(Builder, Intrinsic, true);
    case Intrinsic::ceil: Name = "ceil"; break;
    case Intrinsic::floor: Name = "floor"; break;
    case Intrinsic::fma: Name = "fma"; break;
    case Intrinsic::maxnum: Name = "fmax"; break;
    case Intrinsic::maximumnum: Name = "fmaximum_num"; break;
    case Intrinsic::minnum: Name = "fmin"; break;
    case Intrinsic::minimumnum: Name = "fminimum_num"; break;
    case Intrinsic::rint: Name = "rint"; break;
    case Intrinsic::round: Name = "round"; break;
    case Intrinsic::roundeven: Name = "roundeven"; break;
    case Intrinsic::sqrt: Name = "sqrt"; break;
    case Intrinsic::trunc: Name = "trunc"; break;
    default: return nullptr;
    }
    Type *T = Intrinsic.getType();
    if (!isFloat(T))
      return nullptr;
    std::vector<Value *> Arguments(Intrinsic.args().begin(), Intrinsic.args().end());
    return call(Builder, T->isFloatTy() ? std::string(Name) + "f" : Name, T, Arguments);
  }
};

} // namespace

void sbfprep::lowerLibcalls(Module &M, const Module &Builtins) {
  LibcallLowering(M, Builtins).run();
}
