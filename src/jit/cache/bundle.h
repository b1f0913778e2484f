#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "gemmsmith/bundle.h"
#include "jit/cache/tier.h"
#include "jit/key.h"

namespace gemmsmith {

struct Keyed {
  CacheKey key;
  ArtifactPtr artifact;
};
/// Writes the kernels of these digests, as `read` gives them, into a bundle. What `read` has not is left out. Throws
/// kIo, kInvalidArgument for options that there are not.
BundleSummary WriteBundle(const std::string& path, const BundleOptions& options, std::vector<std::string> digests,
                          const std::function<std::optional<Keyed>(const std::string& digest)>& read);

}  // namespace gemmsmith
