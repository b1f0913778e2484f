#pragma once

#include <string>
#include <vector>

#include "gemmsmith/options.h"

namespace gemmsmith {

/// Where a tool may be, best first.
struct ToolSearch {
  std::vector<std::string> candidates;  ///< Files that exist, and (for libraries) sonames for the loader to look up.
  std::string looked_in;                ///< All the places, for people.
};

/// Environment::nvrtc alone where it is set (a file, or a folder that holds one); else the toolkit, pip's wheels and
/// the loader's path.
ToolSearch SearchNvrtc(const Environment& environment);
/// Environment::nvcc alone where it is set; else the toolkit and PATH.
ToolSearch SearchNvcc(const Environment& environment);
/// nvdisasm or cuobjdump, the former where a folder has both: the toolkit, PATH and pip's wheels.
ToolSearch SearchDisassembler(const Environment& environment);
/// The libnvrtc-builtins that lie beside an NVRTC library.
std::vector<std::string> BuiltinsBeside(const std::string& nvrtc);

}  // namespace gemmsmith
