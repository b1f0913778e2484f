// Any bytes are PTX or are not; none may do harm. What parses is decoded too, and may be refused.
#include "gemmsmith/target.h"
#include "runtime/emulator/isa/program.h"
#include "util/log.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace gemmsmith;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    // Variables of gigabytes are valid, but not for the fuzzer's limits.
    std::uint64_t bytes = 0;
    for (const auto& variable : emulator::ptx::Parse(text).variables) bytes += variable.bytes;
    if (bytes > 1 << 20) return 0;
    emulator::Program(text, CodeTarget{Isa::kCuda, 90, 'a'});
  } catch (const Error&) {
    // Refused, with a line.
  }
  return 0;
}
