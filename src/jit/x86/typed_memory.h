#pragma once

#include "gemmsmith/dtype.h"
#include "jit/x86/vectors.h"

namespace gemmsmith {

/// Vectors of 32-bit lanes from and to memory that holds any type. Lanes that a mask leaves out are neither read nor
/// written. Changes rcx and r11.
class TypedMemory {
 public:
  using Mem = asmjit::x86::Mem;
  using Vec = asmjit::x86::Vec;

  /// The register of AVX2's masks.
  static constexpr int kMask = 15;

  /// `tail`: memory for one vector; `count`: where the number of lanes in the mask is kept.
  TypedMemory(const Vectors& vectors, const Mem& tail, const Mem& count)
      : vectors_(vectors), as_(vectors.as), tail_(tail), count_(count) {}

  /// f32, bf16 and f16 as f32; integers as s32; e4m3 and e5m2 as they are, in the low bits.
  void Load(DType type, const Vec& to, const Mem& from, bool masked) const;
  /// One element into all lanes; f32, bf16 and f16.
  void LoadSingle(DType type, const Vec& to, const Mem& from) const;
  /// f32 to f32 and f16; all else from lanes that hold it in their low bits, s8 with its sign. Ends `scratch`.
  void Store(DType type, const Mem& to, const Vec& from, const Vec& scratch, bool masked) const;

 private:
  Vec Part(const Vec& vector, int divisor) const;
  void CopyTail(DType type, const Mem& to, const Mem& from) const;
  void Widen(DType type, const Vec& to, const Mem& from, bool masked) const;
  void Narrow(DType type, const Mem& to, const Vec& from, const Vec& scratch) const;

  const Vectors vectors_;
  asmjit::x86::Assembler& as_;
  const Mem tail_, count_;
};

}  // namespace gemmsmith
