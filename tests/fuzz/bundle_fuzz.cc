// Any bytes are a bundle or are not; none may do harm. Each input is read as it is, and again as the entries of bundles
// whose index and checksums are right, without which hardly any would get past them: one that nobody signed, and one of
// which every other row has a right signature.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/error.h"
#include "jit/cache/bundle_format.h"

namespace {

using namespace gemmsmith;

void Append(std::string& out, std::uint64_t value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }
void Append(std::string& out, const Digest& digest) {
  Append(out, digest.low);
  Append(out, digest.high);
}

/// A key of this process.
const SigningKey& Key() {
  static const SigningKey* const key = [] {
    std::string folder = "/tmp/bundle-fuzz-XXXXXX";
    if (mkdtemp(folder.data()) == nullptr) std::abort();
    MakeSigningKeyFiles(folder + "/fuzz");
    const auto* made = new SigningKey(folder + "/fuzz.key");
    std::filesystem::remove_all(folder);
    return made;
  }();
  return *key;
}

void Read(std::string_view bytes, bool require_signer = false) try {
  UniqueFd file(memfd_create("bundle", MFD_CLOEXEC));
  if (!file || !WriteFully(file.get(), bytes)) std::abort();
  BundleReader bundle(std::move(file), "fuzz");
  if (require_signer) bundle.RequireSigner({Key().public_key()});
  for (const BundleRow& row : bundle.rows()) {
    if (bundle.Find(row.key) != &row) std::abort();
    const Entry entry = bundle.Read(row);
    if (require_signer && row.key.low % 2 == 1 && entry.state == EntryState::kGood) std::abort();
  }
  bundle.Verify();
} catch (const Error&) {
  // Refused: as it should be.
}

struct Row {
  std::uint64_t number, size;
};

std::string Index(const std::vector<Row>& rows, std::string_view entries, bool is_signed) {
  std::string index;
  for (const Row& row : rows) {
    Append(index, Digest{0, row.number});
    Append(index, Digest{});
    Append(index, row.size);
    const std::string_view entry = entries.substr(0, row.size);
    entries.remove_prefix(entry.size());
    if (!is_signed) continue;
    Signature signature;
    if (row.number % 2 == 0) signature = Key().Sign(std::string("gemmsmith bundle entry\n").append(entry));
    index.append(reinterpret_cast<const char*>(signature.bytes.data()), signature.bytes.size());
  }
  return index;
}

/// The first byte says how many rows of the index there are; their sizes follow, and then the entries.
std::string UnderRightChecksums(std::string_view input, bool is_signed) {
  if (input.empty()) return {};
  const std::uint64_t count = static_cast<unsigned char>(input[0]) % 8;
  input.remove_prefix(1);
  std::vector<Row> rows;
  for (std::uint64_t i = 0; i < count && input.size() >= 2; ++i) {
    rows.push_back({i, static_cast<unsigned char>(input[0]) + 256ull * static_cast<unsigned char>(input[1])});
    input.remove_prefix(2);
  }
  const std::string index = Index(rows, input, is_signed);
  const PublicKey signer = is_signed ? Key().public_key() : PublicKey();
  std::string header = "GSBUNDLE" + std::string(reinterpret_cast<const char*>(&kBundleFormatVersion), 4);
  std::string tail(reinterpret_cast<const char*>(signer.bytes.data()), signer.bytes.size());
  Append(tail, count);
  std::string file = header + std::string(input) + index + tail;
  Append(file, DigestOf(header + index + tail));
  Append(file, DigestOf(file));
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  Read(input);
  Read(UnderRightChecksums(input, /*is_signed=*/false));
  const std::string is_signed = UnderRightChecksums(input, /*is_signed=*/true);
  Read(is_signed);
  Read(is_signed, /*require_signer=*/true);
  return 0;
}
