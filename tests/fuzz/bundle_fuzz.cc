// Any bytes are a bundle or are not; none may do harm. Each input is read as it is, and once more as the entries of a
// bundle whose index and checksums are right, without which hardly any would get past them.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "gemmsmith/error.h"
#include "jit/cache/bundle_format.h"

namespace {

using namespace gemmsmith;

void Append(std::string& out, std::uint64_t value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }
void Append(std::string& out, const Digest& digest) {
  Append(out, digest.low);
  Append(out, digest.high);
}

void Read(std::string_view bytes) try {
  UniqueFd file(memfd_create("bundle", MFD_CLOEXEC));
  if (!file || !WriteFully(file.get(), bytes)) std::abort();
  const BundleReader bundle(std::move(file), "fuzz");
  for (const BundleRow& row : bundle.rows()) {
    if (bundle.Find(row.key) != &row) std::abort();
    bundle.Read(row);
  }
  bundle.Verify();
} catch (const Error&) {
  // Refused: as it should be.
}

/// The first byte says how many rows of the index there are; their sizes follow, and then the entries.
std::string UnderRightChecksums(std::string_view input) {
  if (input.empty()) return {};
  const std::uint64_t count = static_cast<unsigned char>(input[0]) % 8;
  input.remove_prefix(1);
  std::string index;
  for (std::uint64_t i = 0; i < count && input.size() >= 2; ++i) {
    Append(index, Digest{0, i});
    Append(index, Digest{});
    Append(index, static_cast<unsigned char>(input[0]) + 256ull * static_cast<unsigned char>(input[1]));
    input.remove_prefix(2);
  }
  std::string header = "GSBUNDLE" + std::string(reinterpret_cast<const char*>(&kBundleFormatVersion), 4);
  std::string covered = header + index, file = header + std::string(input) + index;
  Append(covered, count);
  Append(file, count);
  Append(file, DigestOf(covered));
  Append(file, DigestOf(file));
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  Read(input);
  Read(UnderRightChecksums(input));
  return 0;
}
