#pragma once

#include <cstdint>

#include "gemmsmith/args.h"
#include "gemmsmith/export.h"
#include "gemmsmith/problem.h"

namespace gemmsmith {

/// Fills a host tensor with seeded uniform values in [-1, 1] (integers: the whole range of 8-bit types, [-127, 127]
/// otherwise), rounded to its dtype. The same seed gives the same values on every machine.
GEMMSMITH_API void FillRandom(const Tensor& tensor, std::uint64_t seed);
/// Fills GroupArgs's tensor of a grouped problem, in host memory, with groups whose seeded sizes are up to 30 % off
/// `expected_m`, or an equal share, as far as there is room: without expected_m nothing of m or k is left over, but for
/// rows of kContiguous before a group's first.
GEMMSMITH_API void FillGroups(const GemmProblem& problem, const Tensor& tensor, std::uint64_t seed);
/// Fills with NaN (integers: 0x5a bytes), so that an element that is never written is found.
GEMMSMITH_API void Poison(const Tensor& tensor);

struct VerifyReport {
  bool ok = false;
  /// Largest error of an element relative to |alpha| |A||B| + |beta C| there, beyond the one rounding to D's type.
  /// Infinite where one of result and reference is a number and the other is not.
  double max_error = 0;
  double tolerance = 0;                            ///< Bound on max_error from the accumulator's type and k.
  std::int64_t checked = 0;                        ///< Elements compared.
  std::int64_t worst_row = -1, worst_column = -1;  ///< -1 where the worst is the maximum of a whole column, or row.
};

/// Compares `args.d` with a float64 reference on the host; all tensors in host memory. `c_before` is C as it was before
/// the call (ignored where beta is 0). All elements when m*n*k is small, else full random rows and columns from `seed`.
/// The tolerance is the forward error bound of a dot product: gamma(k) of the accumulator, and a few roundings more for
/// alpha, beta and C (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1); of 8-bit
/// floats, that of tensor cores that sum them to less than f32. The rounding to D's type is allowed for element by
/// element: it would else drown a wrong term of a long sum. With an epilogue, an element is right if the interpreter
/// makes it of a sum within the tolerance, with functions that are at most 2 ulp off; the error is then what it lies
/// beyond all of these, relative to the nearest. Maxima that the epilogue takes are checked likewise; of one whose
/// elements are not all sampled, that it is not too small. Of groups each is checked so, or of many some; rows of D
/// that are of no group are not looked at.
GEMMSMITH_API VerifyReport Verify(const GemmProblem& problem, const GemmArgs& args, const Tensor& c_before,
                                  std::uint64_t seed = 0);

}  // namespace gemmsmith
