#include "runtime/cpu/portable_kernels.h"

#include <array>
#include <cstring>

#include "runtime/cpu/portable_finish.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr int kMaxRows = 4, kVectors = 2, kVectorBytes = 16;

// Sixteen bytes: what every 64-bit CPU has registers for. The compiler knows how.
template <class T>
struct VectorOf {
  using Type [[gnu::vector_size(kVectorBytes)]] = T;
};
template <class T>
using Vector = typename VectorOf<T>::Type;

/// Sums of products, and how a unit of A is multiplied by a vector of units of B.
template <class T>
struct Plain {
  using Sum = T;
  using Unit = T;
  static void Multiply(Vector<T>& sums, T a, const Vector<T>& b) { sums += a * b; }
};
/// Pairs of s16. Sums are unsigned while they are made: they wrap around.
struct PairsOfS16 {
  using Sum = std::uint32_t;
  using Unit = std::int32_t;
  static void Multiply(Vector<Sum>& sums, Unit a, const Vector<Unit>& b) {
    const Unit first = static_cast<std::int16_t>(a), second = a >> 16;
    const auto first_of_b = reinterpret_cast<Vector<Unit>>(reinterpret_cast<Vector<Sum>>(b) << 16) >> 16;
    sums += reinterpret_cast<Vector<Sum>>(first * first_of_b);
    sums += reinterpret_cast<Vector<Sum>>(second * (b >> 16));
  }
};

template <class T>
using Slice = std::array<Vector<T>, kVectors>;  // (nr)

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

template <class Math, int kRows, bool kWhole>
void Multiply(const MicroKernelArgs* args) {
  using Unit = typename Math::Unit;
  using Sum = Unit;  // In size; integers are signed again.
  Slice<typename Math::Sum> sums[kRows] = {};
  const std::byte *a = Bytes(args->a), *b = Bytes(args->b);
  for (std::int64_t p = 0; p < args->k; ++p, a += args->a_col, b += args->b_step) {
    const Slice<Unit> slice = Load<Unit, kWhole>(b, args->columns);
    for (int row = 0; row < kRows; ++row) {
      Unit scalar;
      std::memcpy(&scalar, a + row * args->a_row, sizeof(scalar));
      for (int v = 0; v < kVectors; ++v) Math::Multiply(sums[row][v], scalar, slice[v]);
    }
  }
  Sum tile[kRows * kColumns<Sum>];
  std::memcpy(tile, sums, sizeof(tile));
  FinishTile(*args, tile, kRows, kColumns<Sum>);
}

template <class Math, bool kWhole>
MicroKernel ForRows(int rows) {
  static constexpr std::array<MicroKernel, kMaxRows + 1> kKernels = {
      nullptr, Multiply<Math, 1, kWhole>, Multiply<Math, 2, kWhole>, Multiply<Math, 3, kWhole>,
      Multiply<Math, 4, kWhole>};
  return kKernels[rows];
}

template <class Math>
MicroKernelSet Find(const MicroKernelRecipe& recipe) {
  if (recipe.dots != 0 || recipe.starts != 0 || recipe.joins != 0 || recipe.mr < 1 || recipe.mr > kMaxRows ||
      recipe.m_tail >= recipe.mr || recipe.nr != kColumns<typename Math::Unit>)
    throw Fail(Code::kDevice, "", "cpu: no portable micro-kernel for \"{}\"", ToString(recipe));
  return {ForRows<Math, true>(recipe.mr), ForRows<Math, false>(recipe.mr), ForRows<Math, true>(recipe.m_tail),
          ForRows<Math, false>(recipe.m_tail)};
}

}  // namespace

MicroKernelSet FindPortableKernels(const MicroKernelRecipe& recipe) {
  switch (recipe.math) {
    case CpuMath::kF32:
      return Find<Plain<float>>(recipe);
    case CpuMath::kF64:
      return Find<Plain<double>>(recipe);
    case CpuMath::kS16:
      return Find<PairsOfS16>(recipe);
    default:
      throw Fail(Code::kDevice, "", "cpu: no portable micro-kernel for \"{}\"", ToString(recipe));
  }
}

}  // namespace gemmsmith
