// Fits calls to BPF's registers: five for arguments, one for the result. See passes.h.
//
// The rewrite is a pure function of the function *type*, so a function and all calls
// of it, direct or through a pointer or vtable, are rewritten alike without knowing
// of each other.

#include "passes.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Instructions.h"

#include <map>
#include <vector>

using namespace llvm;
using sbfprep::fatal;

namespace {

constexpr unsigned ArgumentRegisters = 5;
constexpr unsigned ReturnRegisters = 1;

/// How many 64-bit registers a value of type `T` occupies.
unsigned registersOf(Type *T, const DataLayout &Layout) {
  if (T->isVoidTy())
    return 0;
  if (auto *Struct = dyn_cast<StructType>(T)) {
    unsigned Sum = 0;
    for (Type *Element : Struct->elements())
      Sum += registersOf(Element, Layout);
    return Sum;
  }
  if (auto *Array = dyn_cast<ArrayType>(T))
    return Array->getNumElements() * registersOf(Array->getElementType(), Layout);
  if (auto *Vector = dyn_cast<FixedVectorType>(T))
    return Vector->getNumElements() * registersOf(Vector->getElementType(), Layout);
  return (Layout.getTypeSizeInBits(T).getFixedValue() + 63) / 64;
}

/// The rewrite of one function type.
///
/// New parameter list: [pointer for the result] kept... [pointer to the packed rest]
struct Signature {
  /// The result does not fit and is stored through a hidden first argument.
  bool ReturnsThroughPointer = false;
  /// Arguments from `Kept` on are passed in a struct behind a last argument.
  bool PacksTail = false;
  /// Number of original arguments that stay arguments.
  unsigned Kept = 0;
  StructType *Tail = nullptr;
  FunctionType *Type = nullptr;

  bool changes() const { return ReturnsThroughPointer || PacksTail; }
  /// Position of the original argument 0 in the new list.
  unsigned firstKept() const { return ReturnsThroughPointer ? 1 : 0; }
  /// Position of the pointer to the packed rest in the new list.
  unsigned tailPosition() const { return firstKept() + Kept; }
};

class CallRegisterFitter {
public:
  explicit CallRegisterFitter(Module &M) : M(M), Context(M.getContext()) {}

  void run() {
    dropStructReturnAttributes();
    for (CallInst *Call : collectCalls())
      rewriteCall(*Call);
    std::vector<Function *> Functions;
    for (Function &F : M)
      if (!F.isIntrinsic() && signatureOf(F.getFunctionType()).changes())
        Functions.push_back(&F);
    for (Function *F : Functions)
      rewriteFunction(*F);
  }

private:
  Module &M;
  LLVMContext &Context;
  std::map<FunctionType *, Signature> Signatures;

  const Signature &signatureOf(FunctionType *Original) {
    if (auto Known = Signatures.find(Original); Known != Signatures.end())
      return Known->second;
    return Signatures[Original] = makeSignature(Original);
  }

  Signature makeSignature(FunctionType *Original) {
    Signature S;
    if (Original->isVarArg())
      return S;
    const DataLayout &Layout = M.getDataLayout();
    S.ReturnsThroughPointer = registersOf(Original->getReturnType(), Layout) > ReturnRegisters;
    const unsigned Hidden = S.ReturnsThroughPointer ? 1 : 0;
    unsigned Needed = Hidden;
    for (Type *Parameter : Original->params())
      Needed += registersOf(Parameter, Layout);
    S.PacksTail = Needed > ArgumentRegisters;
    if (!S.changes())
      return S;

    Type *Pointer = PointerType::getUnqual(Context);
    std::vector<Type *> Parameters;
    if (S.ReturnsThroughPointer)
      Parameters.push_back(Pointer);
    const unsigned Available = ArgumentRegisters - Hidden - (S.PacksTail ? 1 : 0);
    unsigned Used = 0;
    for (; S.Kept < Original->getNumParams(); S.Kept++) {
      Type *Parameter = Original->getParamType(S.Kept);
      Used += registersOf(Parameter, Layout);
      if (Used > Available)
        break;
      Parameters.push_back(Parameter);
    }
    if (S.PacksTail) {
      S.Tail = StructType::get(Context, Original->params().drop_front(S.Kept));
      Parameters.push_back(Pointer);
    }
    Type *Result = S.ReturnsThroughPointer ? Type::getVoidTy(Context) : Original->getReturnType();
    S.Type = FunctionType::get(Result, Parameters, /*isVarArg=*/false);
    return S;
  }

  /// The attributes that still hold after the rewrite.
  AttributeList attributesFor(const Signature &S, const AttributeList &Original) {
    SmallVector<AttributeSet, 8> Parameters;
    if (S.ReturnsThroughPointer)
      Parameters.push_back(AttributeSet());
    for (unsigned I = 0; I < S.Kept; I++)
      Parameters.push_back(Original.getParamAttrs(I).removeAttribute(Context, Attribute::Returned));
    if (S.PacksTail)
      Parameters.push_back(AttributeSet());
    // Memory effects: the function now also touches the result or the packed
    // arguments. Allocation size: names an argument by its position.
    AttributeSet OfFunction = Original.getFnAttrs()
                                  .removeAttribute(Context, Attribute::Memory)
                                  .removeAttribute(Context, Attribute::AllocSize);
    AttributeSet OfResult = S.ReturnsThroughPointer ? AttributeSet() : Original.getRetAttrs();
    return AttributeList::get(Context, OfFunction, OfResult, Parameters);
  }

  /// The backend rejects the `sret` attribute. The convention behind it, a pointer as
  /// the first argument, is an ordinary one.
  void dropStructReturnAttributes() {
    for (Function &F : M) {
      for (Argument &A : F.args())
        F.removeParamAttr(A.getArgNo(), Attribute::StructRet);
      for (BasicBlock &Block : F)
        for (Instruction &I : Block)
          if (auto *Call = dyn_cast<CallBase>(&I))
            for (unsigned A = 0; A < Call->arg_size(); A++)
              Call->removeParamAttr(A, Attribute::StructRet);
    }
  }

  std::vector<CallInst *> collectCalls() {
    std::vector<CallInst *> Calls;
    for (Function &F : M)
      for (BasicBlock &Block : F)
        for (Instruction &I : Block) {
          auto *Call = dyn_cast<CallBase>(&I);
          if (!Call || Call->isInlineAsm())
            continue;
          if (Function *Callee = Call->getCalledFunction(); Callee && Callee->isIntrinsic())
            continue;
          if (!signatureOf(Call->getFunctionType()).changes())
            continue;
          if (!isa<CallInst>(Call))
            fatal("exception handling in " + F.getName().str() +
                  ": programs must be compiled with panic=abort");
          Calls.push_back(cast<CallInst>(Call));
        }
    return Calls;
  }

  void rewriteCall(CallInst &Call) {
    const Signature &S = signatureOf(Call.getFunctionType());
    BasicBlock &Entry = Call.getFunction()->getEntryBlock();
    IRBuilder<> Slots(&Entry, Entry.getFirstInsertionPt());
    IRBuilder<> Builder(&Call);

    // Lifetime markers around each slot let the backend overlay them in the frame.
    std::vector<Value *> Arguments;
    AllocaInst *Result = nullptr, *Tail = nullptr;
    if (S.ReturnsThroughPointer) {
      Result = Slots.CreateAlloca(Call.getType(), nullptr, "ret");
      Builder.CreateLifetimeStart(Result);
      Arguments.push_back(Result);
    }
    for (unsigned I = 0; I < S.Kept; I++)
      Arguments.push_back(Call.getArgOperand(I));
    if (S.PacksTail) {
      Tail = Slots.CreateAlloca(S.Tail, nullptr, "args");
      Builder.CreateLifetimeStart(Tail);
      for (unsigned I = S.Kept; I < Call.arg_size(); I++)
        Builder.CreateStore(Call.getArgOperand(I),
                            Builder.CreateStructGEP(S.Tail, Tail, I - S.Kept));
      Arguments.push_back(Tail);
    }

    CallInst *New = Builder.CreateCall(S.Type, Call.getCalledOperand(), Arguments);
    New->setCallingConv(Call.getCallingConv());
    New->setAttributes(attributesFor(S, Call.getAttributes()));
    New->setDebugLoc(Call.getDebugLoc());
    // The slots live in this frame, so the callee must not take it over.
    New->setTailCallKind(CallInst::TCK_NoTail);
    if (Tail)
      Builder.CreateLifetimeEnd(Tail);

    Value *Replacement = New;
    if (Result) {
      Replacement = Builder.CreateLoad(Call.getType(), Result);
      Builder.CreateLifetimeEnd(Result);
    }
    if (!Call.getType()->isVoidTy())
      Call.replaceAllUsesWith(Replacement);
    Call.eraseFromParent();
  }

  void rewriteFunction(Function &F) {
    const Signature &S = signatureOf(F.getFunctionType());
    if (F.isDeclaration()) {
      if (!F.use_empty())
        fatal("external function " + F.getName().str() +
              " needs more registers than a syscall has");
      return;
    }
    Function *New = Function::Create(S.Type, F.getLinkage(), F.getAddressSpace());
    New->copyAttributesFrom(&F);
    New->setAttributes(attributesFor(S, F.getAttributes()));
    M.getFunctionList().insert(F.getIterator(), New);
    New->takeName(&F);
    New->splice(New->begin(), &F);

    BasicBlock &Entry = New->getEntryBlock();
    IRBuilder<> Builder(&Entry, Entry.getFirstInsertionPt());
    for (Argument &Old : F.args()) {
      const unsigned I = Old.getArgNo();
      if (I < S.Kept) {
        Old.replaceAllUsesWith(New->getArg(S.firstKept() + I));
      } else {
        Value *Field =
            Builder.CreateStructGEP(S.Tail, New->getArg(S.tailPosition()), I - S.Kept);
        Old.replaceAllUsesWith(Builder.CreateLoad(Old.getType(), Field));
      }
    }
    if (S.ReturnsThroughPointer)
      for (BasicBlock &Block : *New)
        if (auto *Return = dyn_cast<ReturnInst>(Block.getTerminator())) {
          IRBuilder<> AtReturn(Return);
          AtReturn.CreateStore(Return->getReturnValue(), New->getArg(0));
          AtReturn.CreateRetVoid();
          Return->eraseFromParent();
        }
    F.replaceAllUsesWith(New);
    F.eraseFromParent();
  }
};

} // namespace

void sbfprep::fitCallRegisters(Module &M) { CallRegisterFitter(M).run(); }
