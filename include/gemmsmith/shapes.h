#pragma once

#include <string>
#include <vector>

#include "gemmsmith/export.h"
#include "gemmsmith/problem.h"

namespace gemmsmith {

/// One line of a shapes file (docs/shapes-format.md).
struct NamedProblem {
  std::string name;
  GemmProblem problem;
};

/// All problems of a shapes file, in order. Throws kIo or kInvalidArgument with file name and line number.
GEMMSMITH_API std::vector<NamedProblem> ReadShapes(const std::string& path);
/// The same from text; `origin` stands for the file name in errors.
GEMMSMITH_API std::vector<NamedProblem> ParseShapes(std::string_view text, const std::string& origin);

}  // namespace gemmsmith
