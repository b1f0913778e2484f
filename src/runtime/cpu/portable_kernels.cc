#include "runtime/cpu/portable_kernels.h"

#include <array>
#include <cstring>

#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr int kMaxRows = 4, kVectors = 2, kVectorBytes = 16;

// Sixteen bytes: what every 64-bit CPU has registers for. The compiler knows how.
template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  using Type [[gnu::vector_size(kVectorBytes)]] = float;
};
template <>
struct VectorOf<double> {
  using Type [[gnu::vector_size(kVectorBytes)]] = double;
};

template <class T>
using Slice = std::array<typename VectorOf<T>::Type, kVectors>;  // (nr)

template <class T>
constexpr int kColumns = static_cast<int>(kVectors* kVectorBytes / sizeof(T));

const std::byte* Bytes(const void* p) { return static_cast<const std::byte*>(p); }

/// kWhole: all kColumns are there; else `columns` of them, the rest is 0 and not touched in memory.
template <class T, bool kWhole>
Slice<T> Load(const void* from, std::int64_t columns) {
  Slice<T> slice{};
  std::memcpy(slice.data(), from, kWhole ? sizeof(slice) : static_cast<std::size_t>(columns) * sizeof(T));
  return slice;
}

template <class T, int kRows, bool kWhole>
void Multiply(const MicroKernelArgs* args) {
  Slice<T> sums[kRows] = {};
  const std::byte *a = Bytes(args->a), *b = Bytes(args->b);
  for (std::int64_t p = 0; p < args->k; ++p, a += args->a_col, b += args->b_step) {
    const Slice<T> slice = Load<T, kWhole>(b, args->columns);
    for (int row = 0; row < kRows; ++row) {
      const T scalar = *reinterpret_cast<const T*>(a + row * args->a_row);
      for (int v = 0; v < kVectors; ++v) sums[row][v] += scalar * slice[v];
    }
  }
  const T alpha = *static_cast<const T*>(args->alpha), beta = *static_cast<const T*>(args->beta);
  for (int row = 0; row < kRows; ++row) {
    for (int v = 0; v < kVectors; ++v) sums[row][v] *= alpha;
    if (beta != 0) {
      const Slice<T> c = Load<T, kWhole>(Bytes(args->c) + row * args->c_row, args->columns);
      for (int v = 0; v < kVectors; ++v) sums[row][v] += beta * c[v];
    }
    std::memcpy(static_cast<std::byte*>(args->d) + row * args->d_row, sums[row].data(),
                kWhole ? sizeof(sums[row]) : static_cast<std::size_t>(args->columns) * sizeof(T));
  }
}

template <class T, bool kWhole>
MicroKernel ForRows(int rows) {
  static constexpr std::array<MicroKernel, kMaxRows + 1> kKernels = {
      nullptr, Multiply<T, 1, kWhole>, Multiply<T, 2, kWhole>, Multiply<T, 3, kWhole>, Multiply<T, 4, kWhole>};
  return kKernels[rows];
}

template <class T>
MicroKernelSet Find(const MicroKernelRecipe& recipe) {
  if (recipe.dots != 0 || recipe.mr < 1 || recipe.mr > kMaxRows || recipe.m_tail >= recipe.mr ||
      recipe.nr != kColumns<T>)
    throw Fail(Code::kDevice, "", "cpu: no portable micro-kernel for \"{}\"", ToString(recipe));
  return {ForRows<T, true>(recipe.mr), ForRows<T, false>(recipe.mr), ForRows<T, true>(recipe.m_tail),
          ForRows<T, false>(recipe.m_tail)};
}

}  // namespace

MicroKernelSet FindPortableKernels(const MicroKernelRecipe& recipe) {
  return recipe.math == CpuMath::kF64 ? Find<double>(recipe) : Find<float>(recipe);
}

}  // namespace gemmsmith
