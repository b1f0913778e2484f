#include <utility>

#include "kernels/family.h"

namespace gemmsmith {

GemmProblem Canonical(const GemmProblem& problem) {
  if (problem.d_layout == Layout::kRowMajor) return problem;
  const auto transposed = [](Layout layout) {
    return layout == Layout::kRowMajor ? Layout::kColMajor : layout == Layout::kColMajor ? Layout::kRowMajor : layout;
  };
  GemmProblem p = problem;
  std::swap(p.m, p.n);
  std::swap(p.a_type, p.b_type);
  std::swap(p.lda, p.ldb);
  std::swap(p.batch_stride_a, p.batch_stride_b);
  p.a_layout = transposed(problem.b_layout);
  p.b_layout = transposed(problem.a_layout);
  p.d_layout = Layout::kRowMajor;
  return p;
}

GemmArgs Canonical(const GemmArgs& args) {
  GemmArgs swapped = args;
  std::swap(swapped.a, swapped.b);
  return swapped;
}

}  // namespace gemmsmith
