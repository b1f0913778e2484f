#pragma once

#include <string>
#include <vector>

namespace gemmsmith::cli {

/// Runs this very program again with `arguments`, `input` as its standard input; its stderr is ours. Returns its
/// standard output. Throws kInternal if it cannot be started or fails.
std::string RunAgain(const std::vector<std::string>& arguments, const std::string& input);

}  // namespace gemmsmith::cli
