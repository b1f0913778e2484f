#pragma once

#include "gemmsmith/args.h"
#include "gemmsmith/problem.h"

namespace gemmsmith {

/// What an epilogue makes of one batch entry of a product, by its definition; all tensors in host memory.
class EpilogueReference {
 public:
  /// Throws kInvalidArgument for tensors that are not in host memory.
  EpilogueReference(const GemmProblem& problem, const EpilogueArgs& args, std::int64_t batch);

  struct Range {
    double low, high;  ///< NaN if nothing else comes out.
    bool has_nan;
  };
  /// The values of an element whose accumulator is at most `error` off, computed by functions that are at most 2 ulp
  /// off.
  Range At(std::int64_t row, std::int64_t column, double accumulator, double error) const;
  /// From now on rows are columns.
  void Transpose() { transposed_ = !transposed_; }

 private:
  EpilogueElement Element(std::int64_t row, std::int64_t column) const;

  const EpilogueArgs* args_;
  std::int64_t columns_, residual_offset_, ld_residual_;
  bool transposed_ = false;
};

}  // namespace gemmsmith
