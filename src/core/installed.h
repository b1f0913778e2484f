#pragma once

#include <string>

namespace gemmsmith {

/// The bundle that was installed with this library: beside the library's file, or where the program's folder says.
/// Empty where there is none.
std::string InstalledBundle();

}  // namespace gemmsmith
