#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "cache_testing.h"
#include "jit/cache/bundle_format.h"

namespace gemmsmith::testing {

/// The key of `kernel` as made by another toolchain: the recipe is the same.
inline CacheKey KeyOf(const std::string& kernel, const std::string& toolchain) {
  std::string text = KeyOf(kernel).recipe;
  text += "toolchain=" + std::to_string(toolchain.size()) + ":" + toolchain + "\n";
  return ParseKey(text + "format=1:" + std::to_string(kEntryFormatVersion) + "\n").value();
}

struct BundleEntry {
  CacheKey key;
  Artifact artifact;
};
inline void MakeBundle(const fs::path& path, std::vector<BundleEntry> entries, const BundleOptions& options = {1, ""}) {
  std::ranges::sort(entries, {}, [](const BundleEntry& entry) { return entry.key.digest; });
  BundleWriter writer(path.string(), options);
  for (const BundleEntry& entry : entries) ASSERT_TRUE(writer.Add(entry.key, entry.artifact));
  const std::uint64_t size = writer.Finish();
  EXPECT_EQ(size, fs::file_size(path));
}

/// What a bundle keeps of an artifact.
inline Artifact Bundled(Artifact artifact) {
  artifact.compile_ms = 0;
  artifact.created_unix = 0;
  artifact.log.clear();
  return artifact;
}

}  // namespace gemmsmith::testing
