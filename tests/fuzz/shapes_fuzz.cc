#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gemmsmith/error.h"
#include "gemmsmith/shapes.h"

/// Any bytes are a list of valid problems, or an error that names its line.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    for (const auto& shape : gemmsmith::ParseShapes({reinterpret_cast<const char*>(data), size}, "fuzz"))
      gemmsmith::Validate(shape.problem);
  } catch (const gemmsmith::Error& error) {
    if (error.code() != gemmsmith::Code::kInvalidArgument || !error.message().starts_with("fuzz:")) __builtin_trap();
  }
  return 0;
}
