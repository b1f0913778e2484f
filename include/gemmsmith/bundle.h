#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gemmsmith/export.h"

namespace gemmsmith {

/// One kernel of a bundle.
struct BundleKernel {
  std::string key;       ///< Digest, 32 hexadecimal digits.
  std::string key_text;  ///< What was digested, readable.
  std::string name, target, problem, config, compiler;
  std::uint64_t raw_bytes = 0;     ///< Of its parts, unpacked.
  std::uint64_t stored_bytes = 0;  ///< In the bundle.
  std::string signer;              ///< Whose good signature it carries, 64 hexadecimal digits; empty: nobody's.
};

/// What was written.
struct BundleSummary {
  std::uint64_t kernels = 0;
  std::uint64_t raw_bytes = 0;     ///< Of all parts of all kernels, unpacked.
  std::uint64_t stored_bytes = 0;  ///< Of the file; for an import, of the bundle.
  std::uint64_t left_out = 0;      ///< Broken, too large, or gone. For an import: kernels that the cache has already.
};

/// zstd's level for bundles, which are written once and read often. 1 to 19.
inline constexpr int kBundleLevel = 19;

/// How a bundle is written.
struct BundleOptions {
  int level = kBundleLevel;
  std::string signing_key_file{};  ///< What MakeSigningKey wrote to NAME.key; empty: the bundle is not signed.
};

/// Writes the kernels that `cache_dir` keeps on disk into one read-only file, replacing what is at `path`. The same
/// kernels make the same bytes, signed or not. Throws kIo; kInvalidArgument for a level that there is not, for a file
/// that is no secret key of this user's, and for a folder that a cache would not be read from.
GEMMSMITH_API BundleSummary ExportBundle(const std::string& cache_dir, const std::string& path,
                                         const BundleOptions& options = {});
/// Puts the kernels of a bundle into a cache folder, which is made if need be. The whole bundle is verified first, with
/// its signatures. It must be signed by one of `signers` (see CachePolicy::trusted_signers), where there are any or the
/// environment names some. Whose file it is does not matter: an import is a decision to trust it. Throws kIo,
/// kInvalidArgument for a broken bundle, and for a folder that a cache would not be read from.
GEMMSMITH_API BundleSummary ImportBundle(const std::string& path, const std::string& cache_dir,
                                         const std::vector<std::string>& signers = {});
/// What is in a bundle, in the order of its index. Verifies all of it, with its signatures, and that one of `signers`
/// made them, where there are any; throws like ImportBundle.
GEMMSMITH_API std::vector<BundleKernel> ReadBundle(const std::string& path,
                                                   const std::vector<std::string>& signers = {});
/// Makes a key for signing bundles: the secret goes into `name`.key, which only this user can read, the public key into
/// `name`.pub. Returns the public key, 64 hexadecimal digits. Throws kIo; files that are there already stay.
GEMMSMITH_API std::string MakeSigningKey(const std::string& name);

}  // namespace gemmsmith
