#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/export.h"
#include "gemmsmith/problem.h"

namespace gemmsmith {

/// One problem of a shapes file (docs/shapes-format.md).
struct NamedProblem {
  std::string name;
  GemmProblem problem;
  double beta = 0;
};

/// All problems of a shapes file, in order. A name of BuiltinShapes stands for that list. Throws kIo, or
/// kInvalidArgument with file name and line number.
GEMMSMITH_API std::vector<NamedProblem> ReadShapes(const std::string& path);
/// The same from text; `origin` stands for the file name in errors.
GEMMSMITH_API std::vector<NamedProblem> ParseShapes(std::string_view text, const std::string& origin);
/// The lists that the library carries, layers of real models: "deepseek-v3", "llama-3-8b".
GEMMSMITH_API std::vector<std::string> BuiltinShapes();

}  // namespace gemmsmith
