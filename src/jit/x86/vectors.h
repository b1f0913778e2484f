#pragma once

#include <asmjit/x86.h>

#include "gemmsmith/dtype.h"

namespace gemmsmith {

namespace Inst = asmjit::x86::Inst;

/// Whole-vector instructions on elements of one type, for AVX2 and AVX-512 alike: f32, f64, or s32.
struct Vectors {
  using Vec = asmjit::x86::Vec;
  using Mem = asmjit::x86::Mem;
  using Id = asmjit::x86::Inst::Id;

  asmjit::x86::Assembler& as;
  DType type;
  int vector_bytes;
  bool avx512;

  int element_bytes() const { return static_cast<int>(SizeOf(type)); }
  int lanes() const { return vector_bytes / element_bytes(); }

  Vec Register(int index) const {
    using namespace asmjit::x86;
    if (vector_bytes == 64) return zmm(index);
    if (vector_bytes == 32) return ymm(index);
    return xmm(index);
  }
  void Clear(const Vec& to) const { as.emit(avx512 ? Inst::kIdVpxord : Inst::kIdVpxor, to, to, to); }
  void Broadcast(const Vec& to, const Mem& from) const {
    as.emit(Pick(Inst::kIdVbroadcastss, Inst::kIdVbroadcastsd, Inst::kIdVpbroadcastd), to, from);
  }
  void Multiply(const Vec& to, const Vec& x, const Vec& y) const {
    as.emit(Pick(Inst::kIdVmulps, Inst::kIdVmulpd, Inst::kIdVpmulld), to, x, y);
  }
  /// to += x * y; integers: x is lost.
  void MultiplyAdd(const Vec& to, const Vec& x, const Vec& y) const {
    if (type == DType::kS32) {
      Multiply(x, x, y);
      as.vpaddd(to, to, x);
    } else {
      as.emit(Pick(Inst::kIdVfmadd231ps, Inst::kIdVfmadd231pd, Inst::kIdNone), to, x, y);
    }
  }

  /// As many ones as rcx says, from the first lane: k1, or for AVX2 register `mask`. Ends rax and rcx.
  void MakeMask(int mask) const {
    using namespace asmjit::x86;
    if (avx512) {
      as.mov(eax, 1);
      as.shl(eax, cl);
      as.dec(eax);
      as.kmovw(k1, eax);
      return;
    }
    // A window of ones, then zeros, that slides over one vector.
    const asmjit::Label window = as.newLabel(), after = as.newLabel();
    as.lea(rax, ptr(window, vector_bytes));
    as.imul(rcx, rcx, element_bytes());
    as.sub(rax, rcx);
    as.vmovdqu(Register(mask), ptr(rax));
    as.jmp(after);
    as.bind(window);
    for (int byte = 0; byte < vector_bytes; byte += 8) as.embedUInt64(~0ull);
    for (int byte = 0; byte < vector_bytes; byte += 8) as.embedUInt64(0);
    as.bind(after);
  }
  /// `mask` as in MakeMask; below 0: none. Memory outside the mask is not touched, lanes outside are 0.
  void Load(const Vec& to, const Mem& from, int mask) const {
    using namespace asmjit::x86;
    if (mask < 0)
      as.emit(Move(), to, from);
    else if (avx512)
      as.k(k1).z().emit(Move(), to, from);
    else
      as.emit(MaskedMove(), to, Register(mask), from);
  }
  void Store(const Mem& to, const Vec& from, int mask) const {
    using namespace asmjit::x86;
    if (mask < 0)
      as.emit(Move(), to, from);
    else if (avx512)
      as.k(k1).emit(Move(), to, from);
    else
      as.emit(MaskedMove(), to, Register(mask), from);
  }

 private:
  Id Pick(Id f32, Id f64, Id s32) const { return type == DType::kF64 ? f64 : type == DType::kS32 ? s32 : f32; }
  Id Move() const { return type == DType::kF64 ? Inst::kIdVmovupd : Inst::kIdVmovups; }
  Id MaskedMove() const { return type == DType::kF64 ? Inst::kIdVmaskmovpd : Inst::kIdVmaskmovps; }
};

}  // namespace gemmsmith
