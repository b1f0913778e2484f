#pragma once

#include "numeric.cuh"
#include "params.h"

// What the rendered text of an epilogue calls besides CUDA's own functions. Exact, and the same on every architecture.

namespace gemmsmith {

/// IEEE 754-2019 minimum and maximum: NaN if either is, and -0 is less than +0.
__device__ __forceinline__ float Minimum(float x, float y) {
  if (x != x || y != y) return __uint_as_float(0x7fc00000u);
  if (x == y) return __uint_as_float(__float_as_uint(x) | __float_as_uint(y));
  return x < y ? x : y;
}
__device__ __forceinline__ float Maximum(float x, float y) {
  if (x != x || y != y) return __uint_as_float(0x7fc00000u);
  if (x == y) return __uint_as_float(__float_as_uint(x) & __float_as_uint(y));
  return x > y ? x : y;
}

/// NaN stays.
__device__ __forceinline__ float Saturate(float x, float low, float high) {
  return x < low ? low : x > high ? high : x;
}

/// The nearest number of kMantissa bits with exponents from kMinExponent, ties to even; the rest is multiples of the
/// smallest one. For x of a magnitude that stays in range.
template <int kMantissa, int kMinExponent>
__device__ __forceinline__ float RoundToGrid(float x) {
  constexpr int kDropped = 23 - kMantissa;
  constexpr float kPerUnit = static_cast<float>(1 << (kMantissa - kMinExponent));
  constexpr float kSmallestNormal = 1.0f / static_cast<float>(1 << -kMinExponent);
  const unsigned bits = __float_as_uint(x);
  const float magnitude = fabsf(x);
  if (magnitude < kSmallestNormal) return rintf(x * kPerUnit) * (1.0f / kPerUnit);
  if (x != x) return x;
  const unsigned half_below = (1u << (kDropped - 1)) - 1;
  return __uint_as_float((bits + half_below + (bits >> kDropped & 1)) & ~((1u << kDropped) - 1));
}

__device__ __forceinline__ float ToE4m3(float x) { return RoundToGrid<3, -6>(Saturate(x, -448.0f, 448.0f)); }
__device__ __forceinline__ float ToE5m2(float x) { return RoundToGrid<2, -14>(Saturate(x, -57344.0f, 57344.0f)); }
/// Through int, which makes NaN and -0 into 0.
__device__ __forceinline__ float ToS8(float x) { return __int2float_rn(__float2int_rn(Saturate(x, -128.0f, 127.0f))); }
__device__ __forceinline__ float ToU8(float x) { return __int2float_rn(__float2int_rn(Saturate(x, 0.0f, 255.0f))); }
__device__ __forceinline__ float ToF16(float x) { return ptx::HalfToFloat(ptx::FloatToHalf(x)); }
__device__ __forceinline__ float ToBf16(float x) {
  Bfloat16 narrow;
  Narrow(x, narrow);
  return Widen(narrow);
}

/// An element of D, and the call that it belongs to.
struct ElementPlace {
  long long batch, row, column;
  long long rows, columns;  // of D

  /// Which of the dense (rows / block rows, columns / block columns) values of its batch entry is its block's.
  __device__ __forceinline__ long long Block(int block_rows, int block_columns) const {
    return row / block_rows * Count(columns, block_columns) + column / block_columns;
  }
  __device__ __forceinline__ long long Blocks(int block_rows, int block_columns) const {
    return Count(rows, block_rows) * Count(columns, block_columns);
  }

 private:
  __device__ __forceinline__ static long long Count(long long extent, int block) {
    return (extent + block - 1) / block;
  }
};

/// The inputs of one element of D, each read from memory when the epilogue asks for it. `kColumnsPerD`: columns of the
/// product that make one of D.
template <class BiasType, class ResidualType, int kColumnsPerD>
class EpilogueInputs {
 public:
  __device__ __forceinline__ EpilogueInputs(const EpilogueParams& params, const ElementPlace& at, float accumulator,
                                            float paired)
      : params_(params), at_(at), accumulator_(accumulator), paired_(paired) {}

  __device__ __forceinline__ float Accumulator() const { return accumulator_; }
  __device__ __forceinline__ float Paired() const { return paired_; }
  __device__ __forceinline__ float Bias() const { return Read<BiasType>(params_.bias, at_.column * kColumnsPerD); }
  __device__ __forceinline__ float PairedBias() const {
    return Read<BiasType>(params_.bias, at_.column * kColumnsPerD + 1);
  }
  __device__ __forceinline__ float BiasM() const { return Read<BiasType>(params_.bias_m, at_.row); }
  __device__ __forceinline__ float Residual() const {
    const long long offset = at_.batch * params_.batch_stride_residual + at_.row * params_.ld_residual + at_.column;
    return Read<ResidualType>(params_.residual, offset);
  }
  __device__ __forceinline__ float Scalar() const { return Either(params_.scalar, params_.scalar_pointer); }
  __device__ __forceinline__ float ScaleRow() const { return params_.scale_row[at_.row]; }
  __device__ __forceinline__ float ScaleColumn() const { return params_.scale_column[at_.column * kColumnsPerD]; }
  __device__ __forceinline__ float PairedScaleColumn() const {
    return params_.scale_column[at_.column * kColumnsPerD + 1];
  }
  __device__ __forceinline__ float ScaleBlock(int rows, int columns) const {
    return params_.scale_block[at_.Block(rows, columns)];
  }
  __device__ __forceinline__ float DScale() const { return Either(params_.d_scale, params_.d_scale_pointer); }
  __device__ __forceinline__ float DScaleRow() const { return params_.d_scale_row[at_.row]; }
  __device__ __forceinline__ float DScaleColumn() const { return params_.d_scale_column[at_.column]; }
  __device__ __forceinline__ float DScaleBlock(int rows, int columns) const {
    return params_.d_scale_block[at_.Block(rows, columns)];
  }
  __device__ __forceinline__ int Row() const { return static_cast<int>(at_.row); }
  __device__ __forceinline__ int Column() const { return static_cast<int>(at_.column); }

 private:
  template <class T>
  __device__ __forceinline__ static float Read(const void* data, long long index) {
    return Widen(static_cast<const T*>(data)[index]);
  }
  __device__ __forceinline__ static float Either(float value, const float* pointer) {
    return pointer != nullptr ? *pointer : value;
  }

  const EpilogueParams& params_;
  const ElementPlace& at_;
  float accumulator_, paired_;
};

/// Largest magnitudes so far, as bits: those of numbers without a sign are in their order, and NaN's come last. 0 is
/// what memory holds before the kernel, so that it need not be stored; what no epilogue raises above it costs nothing.
template <int kColumns>
struct Maxima {
  unsigned row = 0, column[kColumns] = {};  // of the row at hand
  unsigned block = 0;                       // of that which the last element belongs to
  float* block_at = nullptr;

  __device__ __forceinline__ static void Raise(unsigned& maximum, float value) {
    const unsigned magnitude = __float_as_uint(value) & 0x7fffffffu;
    maximum = magnitude > maximum ? magnitude : maximum;
  }
  __device__ __forceinline__ static void Store(float* to, unsigned maximum) {
    if (maximum != 0) atomicMax(reinterpret_cast<unsigned*>(to), maximum);
  }
};

/// What a GEMM template does to an element before it stores it: the rendered `Epilogue`. m, n: of the product.
template <class Epilogue, class BiasType, class ResidualType>
struct Fused {
  enum : int { kColumnsPerD = Epilogue::kPaired ? 2 : 1 };
  const EpilogueParams& params;
  long long m, n;

  /// One thread's part of D: kColumns columns from (row, column) on, row by row.
  template <int kColumns>
  class Part {
   public:
    __device__ __forceinline__ Part(const Fused& fused, long long batch, long long row, long long column)
        : params_(fused.params), first_{batch, row, column, fused.m, fused.n / kColumnsPerD} {}

    /// Element (i, j) of the part from its accumulator and that of the paired column.
    __device__ __forceinline__ float operator()(int i, int j, float value, float paired) {
      ElementPlace at = first_;
      at.row += i, at.column += j;
      Outputs out{*this, at, j, 0};
      Epilogue::Apply(EpilogueInputs<BiasType, ResidualType, kColumnsPerD>(params_, at, value, paired), out);
      return out.d;
    }

    /// To be called after the last element of each row.
    __device__ __forceinline__ void EndRow(int i) {
      maxima_.Store(params_.amax_row + first_.batch * first_.rows + first_.row + i, maxima_.row);
      maxima_.row = 0;
    }
    /// To be called after the last row.
    __device__ __forceinline__ void End() {
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
        maxima_.Store(params_.amax_column + first_.batch * first_.columns + first_.column + j, maxima_.column[j]);
      maxima_.Store(maxima_.block_at, maxima_.block);
    }

   private:
    struct Outputs {
      Part& part;
      const ElementPlace& at;
      int j;
      float d;

      __device__ __forceinline__ void D(float value) { d = value; }
      __device__ __forceinline__ void AmaxRow(float value) { part.maxima_.Raise(part.maxima_.row, value); }
      __device__ __forceinline__ void AmaxColumn(float value) { part.maxima_.Raise(part.maxima_.column[j], value); }
      __device__ __forceinline__ void AmaxBlock(float value, int rows, int columns) {
        auto& maxima = part.maxima_;
        float* const place = part.params_.amax_block + at.batch * at.Blocks(rows, columns) + at.Block(rows, columns);
        if (place != maxima.block_at) {
          maxima.Store(maxima.block_at, maxima.block);
          maxima.block_at = place, maxima.block = 0;
        }
        maxima.Raise(maxima.block, value);
      }
    };

    const EpilogueParams& params_;
    const ElementPlace first_;
    Maxima<kColumns> maxima_;
  };
};

}  // namespace gemmsmith
