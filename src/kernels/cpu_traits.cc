#include "kernels/cpu_traits.h"

namespace gemmsmith {
namespace {

constexpr std::int64_t kFewColumns = 256;  // Of B: so few gain little from packing it.
constexpr std::int64_t kSweptRows = 4;     // Of A; of bf16 half of them: more are too many products at once.
constexpr std::int64_t kShortColumns = 128, kLongRows = 1024;  // Of B.
constexpr std::int64_t kPage = 4096, kFarPages = 4;
constexpr std::int64_t kFewRows = 64;  // Of A: for them B is read in place as fast as it is packed.

/// Lines of several rows of B share one set of L1.
bool RowsArePagesApart(const GemmProblem& problem) {
  return problem.ldb * static_cast<std::int64_t>(SizeOf(problem.b_type)) % kPage == 0;
}

/// Rows of B lie so far apart that each is on pages of its own, and many share sets of the caches.
bool LiesFar(const GemmProblem& problem) {
  return problem.ldb * static_cast<std::int64_t>(SizeOf(problem.b_type)) >= kFarPages * kPage ||
         RowsArePagesApart(problem);
}

}  // namespace

bool IsSmall(const GemmProblem& problem, const DeviceSpec& spec) {
  const auto a = static_cast<std::int64_t>(SizeOf(problem.a_type)),
             b = static_cast<std::int64_t>(SizeOf(problem.b_type));
  return problem.m * problem.k * a + problem.k * problem.n * b <= 2 * spec.l2_bytes;
}

bool IsFarB(const GemmProblem& problem, const DeviceSpec& spec) {
  return problem.batch * problem.k * problem.n * static_cast<std::int64_t>(SizeOf(problem.b_type)) >= spec.l3_bytes;
}

bool FlipsA(const GemmProblem& problem, CpuMath math) {
  return (math == CpuMath::kU8S8 && problem.a_type == DType::kS8) ||
         (math == CpuMath::kS8U8 && problem.a_type == DType::kU8);
}

bool KeepsSumsApart(const GemmProblem& problem, CpuMath math) {
  return problem.epilogue_id != 0 || problem.d_type != Info(math).sum;
}

bool IsNative(DType dtype, CpuMath math) {
  switch (math) {
    case CpuMath::kF32:
      return dtype == DType::kF32;
    case CpuMath::kS16:
      return false;
    default:
      return true;
  }
}

bool ReadsA(const GemmProblem& problem, CpuMath math) {
  const int group = Info(math).group;
  const bool whole = group == 1 || (problem.a_layout == Layout::kRowMajor && problem.k % group == 0);
  return IsNative(problem.a_type, math) && !FlipsA(problem, math) && whole;
}

bool ReadsB(const GemmProblem& problem, CpuMath math) {
  if (problem.b_layout == Layout::kPacked) return true;
  return IsNative(problem.b_type, math) && (problem.b_layout == Layout::kColMajor || problem.k % Info(math).group == 0);
}

bool HasAdjacentRows(const GemmProblem& problem, CpuPath path) {
  const bool tiles = path != CpuPath::kDots && path != CpuPath::kSweep;
  const bool copies = path == CpuPath::kPacked || path == CpuPath::kStream;
  return tiles && (copies || problem.a_layout == Layout::kColMajor);
}

bool JoinsB(const GemmProblem& problem, CpuMath math, CpuPath path) {
  const bool in_place = path == CpuPath::kDirect || path == CpuPath::kStream;
  return in_place && problem.b_layout == Layout::kRowMajor && Info(math).group > 1;
}

bool KeepsB(const GemmProblem& problem, CpuMath math, CpuPath path, std::int64_t mr) {
  return JoinsB(problem, math, path) && path == CpuPath::kStream && problem.m > mr;
}

bool SweepsPay(const GemmProblem& problem, CpuMath math) {
  if (problem.a_layout != Layout::kRowMajor) return false;
  if (problem.m <= 1) return problem.m == 1;
  const bool by_pages = RowsArePagesApart(problem);
  switch (Info(math).group) {
    case 1:
      return problem.m <= (by_pages ? kSweptRows : kMostSweptRows);
    case 2:
      return problem.m <= kSweptRows / 2;
    default:
      return problem.m <= kSweptRows && by_pages;
  }
}

int RowsOfSweep(const GemmProblem& problem, CpuMath math) {
  constexpr int kUsual = 8, kFewer = 4;
  return Info(math).group == 1 && problem.m > kSweptRows / 2 && RowsArePagesApart(problem) ? kFewer : kUsual;
}

bool PanelsPay(const GemmProblem& problem, const DeviceSpec& spec) {
  if (IsSmall(problem, spec)) return true;
  const auto bytes = [&](std::int64_t columns, DType type) {
    return problem.k * columns * static_cast<std::int64_t>(SizeOf(type));
  };
  if (bytes(problem.m, problem.a_type) > spec.l3_bytes / 4) return false;
  return problem.b_layout == Layout::kColMajor || bytes(problem.n, problem.b_type) <= spec.l2_bytes;
}

bool StreamsB(const GemmProblem& problem, const DeviceSpec& spec, CpuPath path) {
  const bool in_place = path == CpuPath::kDirect || path == CpuPath::kStream;
  return in_place && problem.b_layout != Layout::kPacked && !IsSmall(problem, spec);
}

bool StreamsA(const GemmProblem& problem, const DeviceSpec& spec, CpuPath path, std::int64_t nr) {
  return path == CpuPath::kDirect && problem.a_layout == Layout::kRowMajor && problem.n <= nr &&
         !IsSmall(problem, spec);
}

bool HasShortColumns(const GemmProblem& problem) {
  const bool packs = problem.b_layout == Layout::kRowMajor && LiesFar(problem);
  return (packs || problem.b_layout == Layout::kPacked) && problem.k <= kShortColumns && problem.n >= kLongRows &&
         problem.m > kFewRows;
}

bool IsLargeD(const GemmProblem& problem, const DeviceSpec& spec) {
  return problem.m * problem.n * static_cast<std::int64_t>(SizeOf(problem.d_type)) > spec.l3_bytes;
}

bool IsWorthPacking(const GemmProblem& problem, const DeviceSpec& spec) {
  if (problem.b_layout == Layout::kColMajor || problem.n <= kFewColumns || IsSmall(problem, spec)) return false;
  return problem.m * problem.k * static_cast<std::int64_t>(SizeOf(problem.a_type)) > spec.l3_bytes / 4;
}

}  // namespace gemmsmith
