#include <algorithm>

#include "runtime/cpu/cpu_device.h"
#include "runtime/cpu/pack.h"
#include "util/log.h"

namespace gemmsmith {

void PackB(const Tensor& b, const PackedForm& form, void* packed) {
  if (b.rank < 2 || form.panel < 1)
    throw Fail(Code::kInvalidArgument, "", "pack: B has rank {}, panels of {}", b.rank, form.panel);
  const int row = b.rank - 2, column = b.rank - 1;
  const std::int64_t k = b.shape[row], n = b.shape[column], matrices = b.rank == 3 ? b.shape[0] : 1;
  const auto size = static_cast<std::int64_t>(SizeOf(b.dtype));
  const PackPanel pack = FindPackPanel(b.dtype, form.math, PackSide::kB);
  auto* to = static_cast<std::byte*>(packed);
  const std::int64_t sums_bytes = form.has_sums() ? form.panel * std::int64_t{sizeof(std::int32_t)} : 0;
  for (std::int64_t i = 0; i < matrices; ++i) {
    const auto* const matrix = static_cast<const std::byte*>(b.data) + i * (b.rank == 3 ? b.strides[0] : 0) * size;
    for (std::int64_t j = 0; j < n; j += form.panel, to += form.panel_bytes(k)) {
      std::fill_n(to, sums_bytes, std::byte{0});
      pack(matrix + j * b.strides[column] * size, b.strides[column], b.strides[row], std::min(form.panel, n - j),
           form.panel, k, to + sums_bytes, sums_bytes == 0 ? nullptr : reinterpret_cast<std::int32_t*>(to));
    }
  }
}

}  // namespace gemmsmith
