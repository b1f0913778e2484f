#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gemmsmith/epilogue.h"
#include "gemmsmith/error.h"

/// Any bytes are an epilogue, or an error that says so.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    gemmsmith::Epilogue::Parse({reinterpret_cast<const char*>(data), size}).Evaluate({});
  } catch (const gemmsmith::Error& error) {
    if (error.code() != gemmsmith::Code::kInvalidArgument || !error.message().starts_with("epilogue:"))
      __builtin_trap();
  }
  return 0;
}
