// Fits calls to BPF's five argument registers. See passes.h.
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

/// The rewrite of one function type: the first `Kept` arguments stay, the others are
/// packed into the struct `Tail`, whose address becomes the last argument.
struct Signature {
  unsigned Kept = 0;
  StructType *Tail = nullptr;
  FunctionType *Type = nullptr;

  /// False when everything fits and the function stays as it is.
  bool changes() const { return Tail != nullptr; }
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
    unsigned Needed = 0;
    for (Type *Parameter : Original->params())
      Needed += registersOf(Parameter, Layout);
    if (Needed <= ArgumentRegisters)
      return S;

    // One register is for the address of the packed rest.
    std::vector<Type *> Parameters;
    unsigned Used = 0;
    for (; S.Kept < Original->getNumParams(); S.Kept++) {
      Type *Parameter = Original->getParamType(S.Kept);
      Used += registersOf(Parameter, Layout);
      if (Used > ArgumentRegisters - 1)
        break;
      Parameters.push_back(Parameter);
    }
    S.Tail = StructType::get(Context, Original->params().drop_front(S.Kept));
    Parameters.push_back(PointerType::getUnqual(Context));
    S.Type = FunctionType::get(Original->getReturnType(), Parameters, /*isVarArg=*/false);
    return S;
  }

  /// The attributes that still hold after the rewrite.
  AttributeList attributesFor(const Signature &S, const AttributeList &Original) {
    SmallVector<AttributeSet, ArgumentRegisters> Parameters;
    for (unsigned I = 0; I < S.Kept; I++)
      Parameters.push_back(Original.getParamAttrs(I).removeAttribute(Context, Attribute::Returned));
    Parameters.push_back(AttributeSet());
    // Memory effects: the function now also reads the packed arguments. Allocation
    // size: names an argument by its position.
    AttributeSet OfFunction = Original.getFnAttrs()
                                  .removeAttribute(Context, Attribute::Memory)
                                  .removeAttribute(Context, Attribute::AllocSize);
    return AttributeList::get(Context, OfFunction, Original.getRetAttrs(), Parameters);
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
    IRBuilder<> AtEntry(&Entry, Entry.getFirstInsertionPt());
    IRBuilder<> Builder(&Call);

    // Lifetime markers let the backend overlay the structs of several calls in the frame.
    AllocaInst *Tail = AtEntry.CreateAlloca(S.Tail, nullptr, "args");
    Builder.CreateLifetimeStart(Tail);
    std::vector<Value *> Arguments;
    for (unsigned I = 0; I < Call.arg_size(); I++) {
      Value *Argument = Call.getArgOperand(I);
      if (I < S.Kept)
        Arguments.push_back(Argument);
      else
        Builder.CreateStore(Argument, Builder.CreateStructGEP(S.Tail, Tail, I - S.Kept));
    }
    Arguments.push_back(Tail);

    CallInst *New = Builder.CreateCall(S.Type, Call.getCalledOperand(), Arguments);
    New->setCallingConv(Call.getCallingConv());
    New->setAttributes(attributesFor(S, Call.getAttributes()));
    New->setDebugLoc(Call.getDebugLoc());
    // The struct lives in this frame, so the callee must not take it over.
    New->setTailCallKind(CallInst::TCK_NoTail);
    Builder.CreateLifetimeEnd(Tail);
    Call.replaceAllUsesWith(New);
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
        Old.replaceAllUsesWith(New->getArg(I));
      } else {
        Value *Field = Builder.CreateStructGEP(S.Tail, New->getArg(S.Kept), I - S.Kept);
        Old.replaceAllUsesWith(Builder.CreateLoad(Old.getType(), Field));
      }
    }
    F.replaceAllUsesWith(New);
    F.eraseFromParent();
  }
};

} // namespace

void sbfprep::fitCallRegisters(Module &M) { CallRegisterFitter(M).run(); }
