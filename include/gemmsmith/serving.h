#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gemmsmith/export.h"
#include "gemmsmith/problem.h"
#include "gemmsmith/shapes.h"
#include "gemmsmith/target.h"

namespace gemmsmith {

/// Values of m that are served, both ends included.
struct RowRange {
  std::int64_t first = 1, last = 8192;
};
/// "1:8192". Throws kInvalidArgument, unless it is two whole numbers from 1 to 2^24, the lesser first.
GEMMSMITH_API RowRange ParseRowRange(std::string_view text);

/// The products of a model with its weights, each (n, k) once, for one row of bf16, weights stored (n, k). `model` is
/// the name of a built-in list ("deepseek-v3"), or a Hugging Face config.json. What attention multiplies grows with the
/// context and is left out; an expert counts as a product of its own. Throws as ReadModelConfig.
GEMMSMITH_API std::vector<NamedProblem> ModelWeights(const std::string& model);
/// The products of a mixture of experts, each (n, k) once, as one call for as many experts as a GPU may hold:
/// kContiguous with 8 and kMasked with 32. None for a model without experts. Throws the same.
GEMMSMITH_API std::vector<NamedProblem> ModelExperts(const std::string& model);

/// Problems that need all kernels which are chosen first for any m of `rows`: of each of `problems` and each of its
/// kernels one, with an m that gets it; those whose kernel no problem before needs come first. Problems that no kernel
/// does are among them. Of groups of rows, m is that of the problem, with dense operands. For GPUs; A must be row-major
/// and not batched. Throws kUnsupported or kInvalidArgument, and as
/// Validate.
GEMMSMITH_API std::vector<NamedProblem> DistinctKernels(std::span<const NamedProblem> problems, const RowRange& rows,
                                                        const CodeTarget& target, const DeviceSpec& spec);

}  // namespace gemmsmith
