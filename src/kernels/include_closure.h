#pragma once

#include <string_view>
#include <vector>

#include "gemmsmith/kernel.h"

namespace gemmsmith {

/// The embedded device headers that `text` reaches through #include "name", each once, in order of name.
/// Throws kInternal for one that is not embedded.
std::vector<SourceHeader> IncludeClosure(std::string_view text);

}  // namespace gemmsmith
