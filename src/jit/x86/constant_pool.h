#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "jit/x86/vectors.h"

namespace gemmsmith {

/// Constants that generated code reads, each once: single values for AVX-512, which broadcasts them as it reads; for
/// AVX2 a whole vector of each.
class ConstantPool {
 public:
  using Mem = asmjit::x86::Mem;

  ConstantPool(asmjit::x86::Assembler& assembler, bool avx512)
      : as_(assembler), label_(assembler.newLabel()), vectors_label_(assembler.newLabel()), avx512_(avx512) {}

  /// As an operand of vectors of so many bytes.
  Mem Find(std::uint32_t bits, int vector_bytes) {
    const std::int32_t offset = OffsetOf(bits);
    if (!avx512_) return asmjit::x86::ptr(label_, offset);
    const Mem single = asmjit::x86::dword_ptr(label_, offset);
    return vector_bytes == 64 ? single._1to16() : vector_bytes == 32 ? single._1to8() : single._1to4();
  }
  /// A whole vector of different lanes.
  Mem Lanes(std::span<const std::uint32_t> lanes) {
    for (std::size_t i = 0; i < vectors_.size(); ++i)
      if (std::equal(lanes.begin(), lanes.end(), vectors_[i].begin()))
        return asmjit::x86::ptr(vectors_label_, static_cast<std::int32_t>(i) * kMostBytes);
    std::copy(lanes.begin(), lanes.end(), vectors_.emplace_back().begin());
    return asmjit::x86::ptr(vectors_label_, static_cast<std::int32_t>(vectors_.size() - 1) * kMostBytes);
  }

  /// Puts the constants here, with a jump around them.
  void Emit() {
    if (words_.empty() && vectors_.empty()) return;
    const asmjit::Label after = as_.newLabel();
    as_.commentf("; constants");
    as_.jmp(after);
    as_.align(asmjit::AlignMode::kData, vectors_.empty() ? (avx512_ ? 4 : 32) : kMostBytes);
    as_.bind(vectors_label_);
    as_.embed(vectors_.data(), vectors_.size() * kMostBytes);
    as_.bind(label_);
    as_.embed(words_.data(), words_.size() * sizeof(std::uint32_t));
    as_.bind(after);
  }

 private:
  static constexpr int kAvx2Lanes = 8, kMostBytes = 64;  // Vectors lie in lines of their own.

  struct Single {
    std::uint32_t bits;
    std::int32_t offset;
  };

  /// Bytes from the label. Few enough to be searched through.
  std::int32_t OffsetOf(std::uint32_t bits) {
    for (const Single& single : singles_)
      if (single.bits == bits) return single.offset;
    singles_.push_back({bits, static_cast<std::int32_t>(words_.size() * sizeof(std::uint32_t))});
    words_.insert(words_.end(), avx512_ ? 1 : kAvx2Lanes, bits);
    return singles_.back().offset;
  }

  asmjit::x86::Assembler& as_;
  const asmjit::Label label_, vectors_label_;
  const bool avx512_;
  std::vector<Single> singles_;
  std::vector<std::uint32_t> words_;
  std::vector<std::array<std::uint32_t, kMostBytes / sizeof(std::uint32_t)>> vectors_;  // 0 beyond their lanes.
};

}  // namespace gemmsmith
