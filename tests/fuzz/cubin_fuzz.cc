// Feeds arbitrary bytes to the cubin reader. Seeds: tests/data/*.cubin.

#include <cstddef>
#include <cstdint>

#include "cubin.h"
#include "gemmsmith/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    gemmsmith::ReadCubin({reinterpret_cast<const char*>(data), size});
  } catch (const gemmsmith::Error&) {
    // Refused: as it should be.
  }
  return 0;
}
