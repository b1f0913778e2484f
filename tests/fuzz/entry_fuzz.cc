// Any bytes are an entry or are not; none may do harm. Each input is read as it is, and once more under a right
// checksum, without which hardly any would get past it.
#include <cstdlib>
#include <string>

#include "jit/cache/entry_format.h"
#include "util/digest.h"

namespace {

using namespace gemmsmith;

void Read(std::string_view bytes) {
  const Entry entry = DecodeEntry(bytes);
  if (entry.state != EntryState::kGood) return;
  // What was read can be written, and reads the same again.
  const CacheKey key{entry.key_text, {}, {}};
  const Entry again = DecodeEntry(EncodeEntry(key, entry.artifact).value());
  if (again.key_text != entry.key_text || again.artifact.parts != entry.artifact.parts) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  Read(input);
  std::string entry = "GSKERNEL" + std::string(reinterpret_cast<const char*>(&kEntryFormatVersion), 4) + input;
  const Digest digest = DigestOf(entry);
  entry.append(reinterpret_cast<const char*>(&digest.low), 8).append(reinterpret_cast<const char*>(&digest.high), 8);
  Read(entry);
  return 0;
}
