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

/// Writes the kernels that `cache_dir` keeps on disk into one read-only file, replacing what is at `path`. The same
/// kernels make the same bytes. Throws kIo, kInvalidArgument for a level that there is not.
GEMMSMITH_API BundleSummary ExportBundle(const std::string& cache_dir, const std::string& path,
                                         int level = kBundleLevel);
/// Puts the kernels of a bundle into a cache folder, which is made if need be. The whole bundle is verified first.
/// Throws kIo, kInvalidArgument for a broken bundle.
GEMMSMITH_API BundleSummary ImportBundle(const std::string& path, const std::string& cache_dir);
/// What is in a bundle, in the order of its index. Verifies all of it; throws like ImportBundle.
GEMMSMITH_API std::vector<BundleKernel> ReadBundle(const std::string& path);

}  // namespace gemmsmith
