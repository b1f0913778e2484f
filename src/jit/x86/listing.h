#pragma once

#include <asmjit/core.h>

#include <string>

namespace gemmsmith {

/// Writes what an assembler makes into a text: offset, instruction and bytes, line by line. Dots stand for bytes that a
/// jump forward gets later.
class Listing final : public asmjit::Logger {
 public:
  /// Nothing is written where `text` is null.
  explicit Listing(std::string* text) : text_(text) { addFlags(asmjit::FormatFlags::kMachineCode); }
  /// To be called once, before anything is assembled.
  void Attach(const asmjit::BaseAssembler& assembler);

 private:
  asmjit::Error _log(const char* data, std::size_t size) noexcept override;

  std::string* const text_;
  const asmjit::BaseAssembler* assembler_ = nullptr;
};

}  // namespace gemmsmith
