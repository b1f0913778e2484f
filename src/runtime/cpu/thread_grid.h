#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu_gemm.h"

namespace gemmsmith {

struct Range {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

/// Part `index` of [0, size) cut into `parts` of nearly equal numbers of granules.
inline Range Part(std::int64_t size, std::int64_t granule, int parts, int index) {
  const std::int64_t granules = DivideUp(size, granule);
  return {std::min(size, granules * index / parts * granule), std::min(size, granules * (index + 1) / parts * granule)};
}

/// How threads share the work: by matrices of the batch, or by columns of D, then by rows. Threads that differ in their
/// rows only are a group.
struct Grid {
  int batch_parts = 1, n_parts = 1, m_parts = 1;
  int groups() const { return batch_parts * n_parts; }
  int threads() const { return groups() * m_parts; }
};

/// Whether the threads of a group pack blocks of B for each other. A single panel each packs for itself: all would wait
/// for one.
inline bool PacksTogether(const CpuGemmParams& p, const Grid& grid) {
  return p.path == CpuPath::kPacked && !p.packed_b && grid.m_parts > 1 && p.n > p.nr * grid.n_parts;
}

Grid ChooseGrid(const CpuGemmParams& p, int threads);

}  // namespace gemmsmith
