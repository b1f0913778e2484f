#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "artifact.h"
#include "gemmsmith/bundle.h"
#include "jit/cache/entry_format.h"
#include "jit/key.h"
#include "util/atomic_file.h"
#include "util/digest.h"
#include "util/file.h"
#include "util/signature.h"

namespace gemmsmith {

/// docs/cache-format.md has the grammar. Bump this with any change to it.
inline constexpr std::uint32_t kBundleFormatVersion = 2;
inline constexpr std::uint64_t kMaxBundleEntries = 1u << 20;

/// An entry of a bundle, and where it lies.
struct BundleRow {
  Digest key, recipe;
  std::uint64_t offset = 0, size = 0;
  Signature signature{};  ///< Of a signed bundle.
};

/// What `recipe` is indexed by.
inline Digest RecipeDigest(const CacheKey& key) { return DigestOf(key.recipe); }

/// Writes a bundle entry by entry: the index, which comes last, is all that is kept in memory. The same entries make
/// the same bytes, whenever and wherever they were compiled.
class BundleWriter {
 public:
  /// Throws kIo, and kInvalidArgument for what is no signing key.
  BundleWriter(std::string path, const BundleOptions& options);
  /// Keys ascend by digest. False: too large for an entry, and left out. Throws kIo.
  bool Add(const CacheKey& key, const Artifact& artifact) { return Append(key, Encode(key, artifact, level_)); }
  /// The two halves of it: the first takes time, and any number of threads may do it at once.
  static std::optional<std::string> Encode(const CacheKey& key, Artifact artifact, int level);
  bool Append(const CacheKey& key, const std::optional<std::string>& entry);
  /// Without it there will be no file. Returns the file's size. Throws kIo.
  std::uint64_t Finish();

 private:
  void Write(std::string_view bytes);

  const std::string path_;
  const int level_;
  std::optional<SigningKey> key_;
  AtomicFile file_;
  DigestStream digest_;
  std::vector<BundleRow> rows_;
  std::uint64_t size_ = 0;
};

/// Reads a bundle in place. The index is verified first, each entry when it is read. Thread-safe.
class BundleReader {
 public:
  /// Throws kIo, and kInvalidArgument for what is no bundle, or a broken one.
  explicit BundleReader(const std::string& path);
  BundleReader(UniqueFd fd, std::string path);

  const std::string& path() const { return path_; }
  const UniqueFd& fd() const { return fd_; }
  /// Ascending by key.
  const std::vector<BundleRow>& rows() const { return rows_; }
  /// Whoever made it says so: nothing is verified yet. Empty: nobody signed it.
  const std::optional<PublicKey>& signer() const { return signer_; }
  /// From now on only entries with a good signature are read. Throws kInvalidArgument if `trusted` does not hold the
  /// bundle's signer.
  void RequireSigner(const std::vector<PublicKey>& trusted);
  /// Null if there is none.
  const BundleRow* Find(const Digest& key) const;
  /// Throws kIo.
  Entry Read(const BundleRow& row) const;
  /// The bytes of an entry that was read before.
  std::string ReadBytes(const BundleRow& row) const { return ReadAt(row.offset, row.size); }
  /// Reads the whole file, compares its checksum, and verifies the signatures if it is signed. Throws like the
  /// constructor.
  void Verify() const;

 private:
  std::string ReadAt(std::uint64_t offset, std::uint64_t size) const;
  [[noreturn]] void Refuse(std::string_view reason) const;
  void ReadIndex();
  void ReadRows(std::string_view index, std::size_t row_bytes, std::uint64_t entries_end);
  bool IsSigned(const BundleRow& row, std::string_view entry) const;

  std::string path_;
  UniqueFd fd_;
  std::uint64_t size_ = 0;
  Digest checksum_;
  std::optional<PublicKey> signer_;
  bool require_signatures_ = false;
  std::vector<BundleRow> rows_;
};

}  // namespace gemmsmith
