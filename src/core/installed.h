#pragma once

#include <string>

namespace gemmsmith {

/// The bundle that was installed with this library: beside the library's file, or where the program's folder says.
/// Empty where there is none.
std::string InstalledBundle();
/// Where pip has put the package that this library is part of, and other packages beside it. Empty if it is part of
/// none.
std::string InstalledPackages();

}  // namespace gemmsmith
