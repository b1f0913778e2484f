#include "jit/x86/typed_memory.h"

namespace gemmsmith {

using namespace asmjit::x86;
using Id = Inst::Id;

/// The register with the same number, half or a quarter as long; 16 bytes at least.
TypedMemory::Vec TypedMemory::Part(const Vec& vector, int divisor) const {
  const int bytes = vectors_.vector_bytes / divisor;
  return bytes == 32 ? Vec(ymm(vector.id())) : Vec(xmm(vector.id()));
}

void TypedMemory::Load(DType type, const Vec& to, const Mem& from, bool masked) const {
  if (SizeOf(type) == 4) return vectors_.Load(to, from, masked ? kMask : -1);
  if (masked && !vectors_.avx512) {
    CopyTail(type, tail_, from);
    return Widen(type, to, tail_, false);
  }
  Widen(type, to, from, masked);
}

void TypedMemory::Widen(DType type, const Vec& to, const Mem& from, bool masked) const {
  const bool is_words = SizeOf(type) == 2;
  const Id id = type == DType::kF16  ? Inst::kIdVcvtph2ps
                : is_words           ? Inst::kIdVpmovzxwd
                : type == DType::kS8 ? Inst::kIdVpmovsxbd
                                     : Inst::kIdVpmovzxbd;
  Mem memory = from;
  memory.setSize(static_cast<std::uint32_t>(vectors_.lanes()) * static_cast<std::uint32_t>(SizeOf(type)));
  if (masked) as_.k(k1).z();
  as_.emit(id, to, memory);
  if (type == DType::kBf16) as_.vpslld(to, to, 16);
}

void TypedMemory::LoadSingle(DType type, const Vec& to, const Mem& from) const {
  if (type == DType::kF32) {
    as_.vbroadcastss(to, from);
  } else if (type == DType::kBf16) {
    as_.vpbroadcastw(to, from);
    as_.vpslld(to, to, 16);
  } else {
    as_.vpbroadcastw(Part(to, 2), from);
    as_.vcvtph2ps(to, Part(to, 2));
  }
}

void TypedMemory::Store(DType type, const Mem& to, const Vec& from, const Vec& scratch, bool masked) const {
  if (SizeOf(type) == 4) return vectors_.Store(to, from, masked ? kMask : -1);
  if (vectors_.avx512) {
    if (masked) as_.k(k1);
    if (type == DType::kF16)
      as_.emit(Inst::kIdVcvtps2ph, to, from, asmjit::Imm(0));
    else
      as_.emit(SizeOf(type) == 2 ? Inst::kIdVpmovdw : Inst::kIdVpmovdb, to, from);
    return;
  }
  Narrow(type, masked ? tail_ : to, from, scratch);
  if (masked) CopyTail(type, to, tail_);
}

/// AVX2 packs within 16 bytes.
void TypedMemory::Narrow(DType type, const Mem& to, const Vec& from, const Vec& scratch) const {
  if (type == DType::kF16) {
    as_.emit(Inst::kIdVcvtps2ph, to, from, asmjit::Imm(0));
    return;
  }
  const bool is_long = vectors_.vector_bytes == 32;
  const Xmm low = xmm(from.id()), narrow = xmm(scratch.id());
  if (is_long) as_.vextracti128(narrow, ymm(from.id()), 1);
  as_.emit(type == DType::kS8 ? Inst::kIdVpackssdw : Inst::kIdVpackusdw, narrow, low, is_long ? narrow : low);
  if (SizeOf(type) == 2) {
    as_.emit(is_long ? Inst::kIdVmovups : Inst::kIdVmovq, to, narrow);
    return;
  }
  as_.emit(type == DType::kS8 ? Inst::kIdVpacksswb : Inst::kIdVpackuswb, narrow, narrow, narrow);
  as_.emit(is_long ? Inst::kIdVmovq : Inst::kIdVmovd, to, narrow);
}

/// Element by element: AVX2 has masks for 4 and 8 bytes only.
void TypedMemory::CopyTail(DType type, const Mem& to, const Mem& from) const {
  const asmjit::Label again = as_.newLabel();
  const bool is_words = SizeOf(type) == 2;
  const auto element = [&](Mem memory) {  // The last that is left.
    memory.setIndex(rcx, is_words ? 1 : 0);
    memory.addOffset(is_words ? -2 : -1);
    memory.setSize(is_words ? 2 : 1);
    return memory;
  };
  as_.mov(rcx, count_);
  as_.bind(again);
  as_.movzx(r11d, element(from));
  if (is_words)
    as_.mov(element(to), r11w);
  else
    as_.mov(element(to), r11b);
  as_.dec(rcx);
  as_.jnz(again);
}

}  // namespace gemmsmith
