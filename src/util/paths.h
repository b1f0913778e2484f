#pragma once

#include <string>

namespace gemmsmith {

/// Absolute, and free of links, "." and ".." as far as the path exists. Empty stays empty. Never throws for a path that
/// cannot be looked into: that shows when it is used.
std::string CanonicalPath(const std::string& path);

/// Makes the absolute `path` and the parents it lacks, for this user alone (0700). Throws kIo.
void MakePrivateDirectories(const std::string& path);

}  // namespace gemmsmith
