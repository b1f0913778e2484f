#pragma once

#include "gemmsmith/epilogue.h"
#include "gemmsmith/export.h"
#include "gemmsmith/problem.h"
#include "gemmsmith/tensor.h"

namespace gemmsmith {

/// A host value, or a pointer to one in the accumulator's type on the device (read when the kernel runs).
struct Scalar {
  double value = 0;
  const void* device_pointer = nullptr;

  Scalar(double value = 0) : value(value) {}
  static Scalar OnDevice(const void* pointer) {
    Scalar s;
    s.device_pointer = pointer;
    return s;
  }
};

/// What a call does to alpha * A * B + beta * C before it is stored, and the tensors that it does it with, all on D's
/// device. Those that the epilogue does not read or write are ignored.
struct EpilogueArgs {
  Epilogue epilogue;
  Tensor bias;                        ///< (n); f32, f16 or bf16.
  Tensor bias_m;                      ///< (m); of bias's type where both are read.
  Tensor residual;                    ///< As D, which it may be; f32, f16 or bf16.
  Tensor scale_row, d_scale_row;      ///< (m), f32, as all scales.
  Tensor scale_column;                ///< (n).
  Tensor d_scale_column;              ///< (columns of D).
  Tensor scale_block, d_scale_block;  ///< (rows of D / block rows, columns of D / block columns), rounded up; dense.
  Scalar scalar, d_scale;             ///< f32.

  // Maxima that the call stores, where the epilogue takes them: f32 and dense, one set for each batch entry. They may
  // overlap nothing else. An empty D leaves them as they are.
  Tensor amax_row;     ///< (m), or (batch, m).
  Tensor amax_column;  ///< (columns of D), or (batch, columns of D).
  Tensor amax_block;   ///< (rows of D / block rows, columns of D / block columns), rounded up; or one for each entry.
};

/// Factors of 8-bit operands (Scaling), f32, with any strides. That of a partial block counts as one of a whole. Where
/// A or B is one for each group, so are its factors: (groups, ...).
struct ScaleArgs {
  Tensor a;  ///< (m, k / 128), rounded up.
  Tensor b;  ///< (n, k / 128), or (n / 128, k / 128), rounded up.
};

/// What belongs to which group (Grouping): one tensor of the three, s32, its elements side by side, on D's device,
/// where kernels read it. It may be written there until the launch: the host never reads it, but for calls on the CPU
/// and where EngineOptions::check_groups asks for it.
struct GroupArgs {
  Tensor index;   ///< (m): the group of each row; -1: of none. Each group's rows follow each other (GroupAlignment).
  Tensor ends;    ///< (groups): the row, or with A and B cut along k the k, after each group's last.
  Tensor counts;  ///< (groups): how many rows each has, from the first on (kMasked).
  std::int64_t expected_m = 0;  ///< GemmProblem::expected_m.
};

/// The tensors of one call, by name. What the problem does not use must not be given.
struct GemmArgs {
  Tensor a;  ///< (m, k), or (batch, m, k); with groups as Grouping says, and so b, c and d.
  Tensor b;  ///< (k, n), or (batch, k, n); rank 2 is shared by the whole batch. Packed: from Engine::Pack.
  Tensor c;  ///< (m, n), or (batch, m, n); may be d itself. Not read where beta is 0.
  Tensor d;  ///< (m, n), or (batch, m, n); may not overlap a or b. (m, n / 2) if the epilogue pairs columns.
  Scalar alpha = 1.0;
  Scalar beta = 0.0;
  const EpilogueArgs* epilogue = nullptr;  ///< Read during the call only; null: none.
  const ScaleArgs* scales = nullptr;       ///< The same.
  const GroupArgs* groups = nullptr;       ///< The same. Rows of D that are of no group stay as they are.
};

/// The accumulator that fits operands of these types: f64 for f64, s32 for integers, else f32.
GEMMSMITH_API DType DefaultAccumulator(DType a_type);

/// The problem that `args` pose. Throws kInvalidArgument if they pose none: shapes that do not match, a matrix with no
/// unit stride, null pointers, tensors of several devices, a read-only output, a D that overlaps A, B, or part of C.
/// With an epilogue also for inputs and maxima that do not fit, and kUnsupported for beta where it pairs columns.
GEMMSMITH_API GemmProblem Describe(const GemmArgs& args, DType acc_type, ComputeMode compute = ComputeMode::kIeee);

}  // namespace gemmsmith
