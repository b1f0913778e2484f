#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gemmsmith/kernel.h"
#include "util/digest.h"

namespace gemmsmith {

/// Names a compiled kernel: recipe (what is compiled) + toolchain (by what) + format version of the entry.
/// Canonical text, "field=length:value" lines, so that no value can imitate another field.
struct CacheKey {
  std::string text;
  Digest digest;
  std::string recipe;  ///< The recipe lines alone: what matters where there is no compiler.
  friend bool operator==(const CacheKey& x, const CacheKey& y) { return x.digest == y.digest && x.text == y.text; }
};

/// Paths, times and switches that do not change code are no part of it.
CacheKey MakeKey(const KernelSource& source, std::string_view toolchain);

/// The key of which this is the text; empty if it is none.
std::optional<CacheKey> ParseKey(std::string_view text);
/// By the toolchain's version, number by number: 13.0.9 before 13.0.88.
bool ToolchainLess(const CacheKey& x, const CacheKey& y);

}  // namespace gemmsmith
