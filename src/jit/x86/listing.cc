#include "jit/x86/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace gemmsmith {

void Listing::Attach(const asmjit::BaseAssembler& assembler) {
  if (text_ == nullptr) return;
  assembler_ = &assembler;
  assembler.code()->setLogger(this);
}

asmjit::Error Listing::_log(const char* data, std::size_t size) noexcept {
  std::string_view line(data, size);
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  // Instructions and labels are told of before they are there, padding and data after; comments end without a newline.
  const bool placed = !line.starts_with('.') && !line.starts_with("align");
  if (line.starts_with(';') || line == "\n")
    *text_ += line;
  else if (placed)
    fmt::format_to(std::back_inserter(*text_), "{:6x}  {}", assembler_->offset(), line);
  else
    fmt::format_to(std::back_inserter(*text_), "{:8}{}", "", line);
  return asmjit::kErrorOk;
}

}  // namespace gemmsmith
