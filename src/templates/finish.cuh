#pragma once

#include "numeric.cuh"
#include "params.h"
#include "ptx/memory.cuh"

// What becomes of sums: D = epilogue(alpha * sums + beta * C).

namespace gemmsmith {

/// Of `value` in the accumulator's type, unless `pointer` says where it is.
template <class Accumulator>
__device__ __forceinline__ Accumulator ScalarValue(double value, const void* pointer) {
  return pointer != nullptr ? *static_cast<const Accumulator*>(pointer) : static_cast<Accumulator>(value);
}

/// alpha * sum, and with beta * C. Integers wrap around; they become floats, each the nearest, when they are complete,
/// which they are before a C with fractions is added.
__device__ __forceinline__ float Scaled(float alpha, float sum) { return alpha * sum; }
__device__ __forceinline__ int Scaled(int alpha, int sum) {
  return static_cast<int>(static_cast<unsigned>(alpha) * static_cast<unsigned>(sum));
}
__device__ __forceinline__ float Added(float value, float beta, float c) { return value + beta * c; }
__device__ __forceinline__ int Added(int value, int beta, int c) {
  return static_cast<int>(static_cast<unsigned>(value) + static_cast<unsigned>(beta) * static_cast<unsigned>(c));
}
__device__ __forceinline__ float Added(float value, float beta, int c) { return value + beta * __int2float_rn(c); }
__device__ __forceinline__ float Added(int value, int beta, float c) {
  return __int2float_rn(value) + __int2float_rn(beta) * c;
}

/// The epilogue that there is not. It takes sums as they are; the other one takes floats.
struct StoreSums {
  enum : int { kColumnsPerD = 1 };

  template <int kColumns>
  struct Part {
    __device__ __forceinline__ Part(StoreSums, long long, long long, long long) {}
    template <class T>
    __device__ __forceinline__ T operator()(int, int, T value, T) const {
      return value;
    }
    __device__ __forceinline__ void EndRow(int) {}
    __device__ __forceinline__ void End() {}
  };
};

/// Stores kVectorD elements of D at a time. Config: as in gemm_sm80.cuh.
template <class Config, class Epilogue>
class Finisher {
  using Accumulator = typename Config::Accumulator;
  using D = typename Config::D;
  using Access = Vector<D, Config::kVectorD>;

 public:
  /// Sums that make one access.
  enum : int { kColumnsPerD = Epilogue::kColumnsPerD, kTaken = Config::kVectorD * kColumnsPerD };
  using Part = typename Epilogue::template Part<Config::kVectorD>;

  __device__ __forceinline__ explicit Finisher(const SimtParams& params)
      : params_(params),
        alpha_(params.k > 0 ? ScalarValue<Accumulator>(params.alpha, params.alpha_pointer) : Accumulator(0)),
        beta_(Config::kReadC ? ScalarValue<Accumulator>(params.beta, params.beta_pointer) : Accumulator(0)) {}

  /// Row `row + i` of `part`, whose first element of D is (row, column): from the sums of kTaken columns. A beta of 0
  /// leaves C unread. An epilogue that pairs columns comes without C.
  __device__ __forceinline__ void Store(Part& part, long long batch, long long row, long long column, int i,
                                        const Accumulator (&sums)[kTaken]) const {
    const D* c = static_cast<const D*>(params_.c) + batch * params_.batch_stride_c + (row + i) * params_.ldc + column;
    D* d = static_cast<D*>(params_.d) + batch * params_.batch_stride_d + (row + i) * params_.ldd + column;
    Access old{}, out;
    if (Config::kReadC && beta_ != 0) old = *reinterpret_cast<const Access*>(c);
#pragma unroll
    for (int v = 0; v < Config::kVectorD; ++v) {
      const Accumulator value = Scaled(alpha_, sums[v * kColumnsPerD]);
      const Accumulator paired = Scaled(alpha_, sums[v * kColumnsPerD + kColumnsPerD - 1]);
      if constexpr (Config::kReadC) {
        const auto complete = Added(value, beta_, Widen(old.at[v]));
        Narrow(part(i, v, complete, complete), out.at[v]);
      } else {
        Narrow(part(i, v, value, paired), out.at[v]);
      }
    }
    part.EndRow(i);
    ptx::StoreGlobal(d, out);
  }

 private:
  const SimtParams& params_;
  const Accumulator alpha_, beta_;
};

/// Finishes sums that lie in shared memory in lines: kLines of them, of kColumns, kPitch apart. kThreads threads share
/// them so that each keeps its columns.
template <class Config, class Epilogue, int kThreads, int kColumns, int kLines, int kPitch>
struct StagedLines {
  using Finish = Finisher<Config, Epilogue>;
  using Accumulator = typename Config::Accumulator;
  enum : int {
    kTaken = Finish::kTaken,
    kAccesses = kColumns / kTaken,
    kAcross = kAccesses < kThreads ? kAccesses : kThreads,
    kWidth = 16 / sizeof(Accumulator) < kTaken ? 16 / sizeof(Accumulator) : kTaken
  };
  static_assert(kAccesses % kAcross == 0 && kThreads % kAcross == 0, "a thread keeps its columns");

  /// The first column of the lines is column `first` of the product; what lies beyond `columns` of them is left out,
  /// and so are lines whose row, row_of(line) from `row` on, is not below `rows`.
  template <class RowOf>
  __device__ __forceinline__ static void Store(const Finish& finisher, Epilogue epilogue, const Accumulator* staged,
                                               unsigned thread, long long batch, long long row, long long first,
                                               unsigned rows, unsigned columns, RowOf row_of) {
#pragma unroll 1
    for (unsigned access = thread % kAcross; access < kAccesses; access += kAcross) {
      if (access * kTaken >= columns) break;
      const long long column = (first + access * kTaken) / Finish::kColumnsPerD;
      typename Finish::Part part(epilogue, batch, row, column);
#pragma unroll 1
      for (unsigned line = thread / kAcross; line < kLines; line += kThreads / kAcross) {
        const unsigned i = row_of(line);
        if (i >= rows) continue;
        Accumulator sums[kTaken];
        using Access = Vector<Accumulator, kWidth>;
        const Accumulator* from = staged + line * kPitch + access * kTaken;
#pragma unroll
        for (int v = 0; v < kTaken; v += kWidth) {
          const Access some = *reinterpret_cast<const Access*>(from + v);
#pragma unroll
          for (int w = 0; w < kWidth; ++w) sums[v + w] = some.at[w];
        }
        finisher.Store(part, batch, row, column, i, sums);
      }
      part.End();
    }
  }
};

}  // namespace gemmsmith
