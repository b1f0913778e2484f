#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include "gemmsmith/args.h"
#include "gemmsmith/problem.h"

namespace gemmsmith {

/// What an epilogue makes of one batch entry of a product, by its definition; all tensors in host memory.
class EpilogueReference {
 public:
  /// Throws kInvalidArgument for tensors that are not in host memory.
  EpilogueReference(const GemmProblem& problem, const EpilogueArgs& args, std::int64_t batch);

  /// An accumulator, and how far off it may be.
  struct Sum {
    double value = 0, error = 0;
  };
  struct Range {
    double low, high;  ///< NaN if nothing else comes out.
    bool has_nan = false;

    void Take(double value) {
      has_nan = has_nan || std::isnan(value);
      low = std::fmin(low, value);  // of a number and NaN: the number
      high = std::fmax(high, value);
    }
    void Widen(double share) {
      if (std::isfinite(low)) low -= share * std::fabs(low);
      if (std::isfinite(high)) high += share * std::fabs(high);
    }
  };
  /// For each EpilogueOutput, d first.
  using Ranges = std::array<Range, 4>;
  /// The values that an element of D makes of accumulators within their errors (`paired`: that of the second column,
  /// where the epilogue pairs them), computed by functions that are at most 2 ulp off.
  Ranges At(std::int64_t row, std::int64_t column, const Sum& sum, const Sum& paired) const;

  /// From now on rows are columns.
  void Transpose() { transposed_ = !transposed_; }
  /// How many rows (columns) of the product make one of D.
  std::int64_t rows_per_d() const { return transposed_ ? columns_per_d_ : 1; }
  std::int64_t columns_per_d() const { return transposed_ ? 1 : columns_per_d_; }

 private:
  friend class MaximaReference;
  EpilogueElement Element(std::int64_t row, std::int64_t column) const;

  const EpilogueArgs* args_;
  std::int64_t batch_, rows_, columns_, columns_per_d_, residual_offset_, ld_residual_;
  bool transposed_ = false;
};

/// The maxima that an epilogue takes of one batch entry, from its elements, each given once.
class MaximaReference {
 public:
  explicit MaximaReference(const EpilogueReference& epilogue);
  bool empty() const { return kinds_.empty(); }

  void Take(std::int64_t row, std::int64_t column, const EpilogueReference::Ranges& ranges);

  /// A maximum that was stored, and what it may be; without an upper limit where not all of its elements were given.
  struct Maximum {
    float stored;
    EpilogueReference::Range range;
    std::int64_t row, column;  ///< Of its first element; -1: of all rows (columns).
  };
  std::vector<Maximum> Found() const;

 private:
  struct Seen {
    EpilogueReference::Range range{0, 0};
    std::int64_t count = 0;
  };
  /// One tensor of maxima: each of a block of D, which may be as high or wide as D.
  struct Kind {
    EpilogueOutput output;
    const float* stored;
    std::int64_t block_rows, block_columns;
    std::map<std::int64_t, Seen> seen;
  };
  std::int64_t BlocksAcross(const Kind& kind) const { return (columns_ + kind.block_columns - 1) / kind.block_columns; }

  std::int64_t rows_, columns_;
  bool transposed_;
  std::vector<Kind> kinds_;
};

}  // namespace gemmsmith
