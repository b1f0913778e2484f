#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "jit/x86/vectors.h"

namespace gemmsmith {

/// Constants that generated code reads, each once: single values for AVX-512, which broadcasts them as it reads; for
/// AVX2 a whole vector of each.
class ConstantPool {
 public:
  using Mem = asmjit::x86::Mem;

  ConstantPool(asmjit::x86::Assembler& assembler, bool avx512)
      : as_(assembler), label_(assembler.newLabel()), avx512_(avx512) {}

  /// As an operand of vectors of so many bytes.
  Mem Find(std::uint32_t bits, int vector_bytes) {
    if (!avx512_) return asmjit::x86::ptr(label_, Offset(std::vector<std::uint32_t>(kAvx2Lanes, bits)));
    const Mem single = asmjit::x86::dword_ptr(label_, Offset({bits}));
    return vector_bytes == 64 ? single._1to16() : vector_bytes == 32 ? single._1to8() : single._1to4();
  }
  /// A whole vector of different lanes.
  Mem Lanes(const std::vector<std::uint32_t>& lanes) { return asmjit::x86::ptr(label_, Offset(lanes)); }

  /// Puts the constants here, with a jump around them.
  void Emit() {
    if (words_.empty()) return;
    const asmjit::Label after = as_.newLabel();
    as_.commentf("; constants");
    as_.jmp(after);
    as_.align(asmjit::AlignMode::kData, avx512_ ? 4 : 32);
    as_.bind(label_);
    for (const std::uint32_t word : words_) as_.embedUInt32(word);
    as_.bind(after);
  }

 private:
  static constexpr int kAvx2Lanes = 8;

  /// Bytes from the label. Few enough to be searched through.
  std::int32_t Offset(const std::vector<std::uint32_t>& lanes) {
    for (const Entry& entry : entries_)
      if (entry.lanes == lanes) return entry.offset;
    entries_.push_back({lanes, static_cast<std::int32_t>(words_.size() * sizeof(std::uint32_t))});
    words_.insert(words_.end(), lanes.begin(), lanes.end());
    return entries_.back().offset;
  }

  struct Entry {
    std::vector<std::uint32_t> lanes;
    std::int32_t offset;
  };
  asmjit::x86::Assembler& as_;
  const asmjit::Label label_;
  const bool avx512_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> words_;
};

}  // namespace gemmsmith
