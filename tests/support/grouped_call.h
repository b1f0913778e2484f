#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "device_matrix.h"
#include "gemmsmith/gemmsmith.h"

namespace gemmsmith {

struct GroupedCase {
  const char* grouping;  ///< As SetGrouping.
  std::int64_t m, n, k;
  const char* dtypes = "bf16";
  const char* layout = "nt";
  const char* scaling = "none";
  std::vector<std::int32_t> groups{};  ///< What the tensor holds; empty: FillGroups.
  BetaClass beta = BetaClass::kZero;
  const char* epilogue = nullptr;
  std::int64_t padding = 0;  ///< Of D's rows.

  std::int64_t d_columns() const {
    return epilogue != nullptr && Epilogue::Parse(epilogue).pairs_columns() ? n / 2 : n;
  }
  GemmProblem Problem() const {
    GemmProblem p = MakeProblem(m, n, k, DType::kF32, layout, beta);
    SetDTypes(p, dtypes);
    SetGrouping(p, grouping);
    SetScaling(p, scaling);
    if (epilogue != nullptr) SetEpilogue(p, Epilogue::Parse(epilogue));
    return padding == 0 ? p : Padded(p);
  }
  std::string Text() const { return ToString(Problem()); }

 private:
  GemmProblem Padded(GemmProblem p) const {
    p.ldd += padding;
    if (beta != BetaClass::kZero) p.ldc += padding;
    if (p.entries_d() > 1) p.batch_stride_d = m * p.ldd, p.batch_stride_c = m * p.ldc;
    p.alignment = 4;
    return p;
  }
};

/// Operands of a grouped call, random, and factors near 1; D is poisoned unless it is read as C.
class GroupedCall {
 public:
  GroupedCall(Device& device, const GroupedCase& c, std::uint64_t seed)
      : case_(c),
        problem_(c.Problem()),
        a_(device, problem_.a_type, {problem_.entries_a(), c.m, c.k, c.layout[0] == 't'}),
        b_(device, problem_.b_type, {problem_.entries_b(), c.k, c.n, c.layout[1] == 't'}),
        d_(device, problem_.d_type, {problem_.entries_d(), c.m, c.d_columns(), false, c.padding}),
        before_(device, problem_.d_type, {problem_.entries_d(), c.m, c.d_columns(), false, c.padding}),
        row_(device, DType::kF32, {1, 1, c.m}),
        column_(device, DType::kF32, {1, 1, c.n}),
        residual_(device, problem_.residual_type, {problem_.entries_d(), c.m, c.d_columns()}),
        groups_(device, DType::kS32, {1, 1, Of("contiguous") ? c.m : problem_.groups}),
        scale_a_(device, DType::kF32, {problem_.entries_a(), c.m, Blocks(c.k), true}),
        scale_b_(device, DType::kF32,
                 {problem_.entries_b(), problem_.scaling == Scaling::kBlock1x128 ? c.n : Blocks(c.n), Blocks(c.k)}) {
    for (auto [matrix, offset] :
         {std::pair{&a_, 0}, {&b_, 1}, {&scale_a_, 3}, {&scale_b_, 4}, {&row_, 6}, {&column_, 7}, {&residual_, 8}})
      matrix->Randomize(seed + static_cast<std::uint64_t>(offset));
    if (c.beta == BetaClass::kZero) {
      d_.PoisonAll(), before_.PoisonAll();
    } else {
      d_.Randomize(seed + 2), before_.Randomize(seed + 2);
    }
    const Tensor line = Vector(groups_.host);
    if (c.groups.empty()) FillGroups(problem_, line, seed + 5);
    for (std::size_t i = 0; i < c.groups.size(); ++i) static_cast<std::int32_t*>(line.data)[i] = c.groups[i];
    groups_.Upload();
  }

  GemmArgs Args(Tensor Matrix::*side) {
    const bool host = side == &Matrix::host;
    GemmArgs args;
    args.a = WithGroups(a_.*side, problem_.entries_a(), Of("masked"));
    args.b = WithGroups(b_.*side, problem_.entries_b(), !Of("along_k"));
    args.d = WithGroups(d_.*side, problem_.entries_d(), Of("masked") || Of("along_k"));
    if (case_.beta != BetaClass::kZero) args.c = args.d, args.beta = 0.5;
    args.alpha = problem_.acc_type == DType::kS32 ? 2 : 1.5;
    GroupArgs& groups = host ? host_groups_ : group_args_;
    (Of("contiguous") ? groups.index : Of("masked") ? groups.counts : groups.ends) = Vector(groups_.*side);
    groups.expected_m = problem_.expected_m;
    args.groups = &groups;
    if (problem_.scaling != Scaling::kNone) {
      ScaleArgs& scales = host ? host_scales_ : scales_;
      scales = {WithGroups(scale_a_.*side, problem_.entries_a(), Of("masked")),
                WithGroups(scale_b_.*side, problem_.entries_b(), true)};
      args.scales = &scales;
    }
    if (case_.epilogue != nullptr) {
      EpilogueArgs& e = host ? host_epilogue_ : epilogue_;
      e.epilogue = Epilogue::Parse(case_.epilogue);
      e.bias = Vector(column_.*side), e.scale_row = Vector(row_.*side);
      e.residual = WithGroups(residual_.*side, problem_.entries_d(), Of("masked") || Of("along_k"));
      args.epilogue = &e;
    }
    return args;
  }

  /// What is right, and untouched where there is no group's row.
  void ExpectRight(std::string_view by, std::uint64_t seed) {
    d_.Download();
    GemmArgs args = Args(&Matrix::host);
    const VerifyReport report = Verify(problem_, args, Before(), seed);
    EXPECT_TRUE(report.ok) << case_.Text() << " by " << by << ": error " << report.max_error << " of "
                           << report.tolerance << " allowed, at (" << report.worst_row << ", " << report.worst_column
                           << "), seed " << seed;
    ExpectOthersUntouched(by);
  }
  void ExpectAllUntouched() {
    d_.Download();
    EXPECT_EQ(d_.bytes(), before_.bytes());
  }
  const GemmProblem& problem() const { return problem_; }
  const std::vector<std::byte>& result() const { return d_.bytes(); }

 private:
  bool Of(std::string_view grouping) const { return std::string_view(case_.grouping).starts_with(grouping); }
  static std::int64_t Blocks(std::int64_t extent) { return (extent + 127) / 128; }
  static Tensor Vector(const Tensor& t) { return Tensor(t.data, t.dtype, {t.shape[1]}, t.device); }
  /// A single matrix of one group has the rank that groups have.
  static Tensor WithGroups(Tensor t, std::int64_t entries, bool wanted) {
    if (!wanted || t.rank == 3) return t;
    t.rank = 3;
    t.shape = {entries, t.shape[0], t.shape[1]};
    t.strides = {0, t.strides[0], t.strides[1]};
    return t;
  }
  Tensor Before() { return WithGroups(before_.host, problem_.entries_d(), Of("masked") || Of("along_k")); }

  void ExpectOthersUntouched(std::string_view by) {
    if (Of("along_k")) return;
    std::vector<bool> owned(static_cast<std::size_t>(problem_.entries_d() * case_.m));
    const auto* values = static_cast<const std::int32_t*>(groups_.host.data);
    for (std::int64_t i = 0; i < groups_.host.shape[1]; ++i) {
      if (Of("contiguous")) owned[static_cast<std::size_t>(i)] = values[i] >= 0;
      if (Of("ends")) std::fill_n(owned.begin(), values[i], true);
      if (Of("masked")) std::fill_n(owned.begin() + i * case_.m, values[i], true);
    }
    const std::size_t row_bytes = static_cast<std::size_t>(case_.d_columns() + case_.padding) * SizeOf(problem_.d_type);
    for (std::size_t row = 0; row < owned.size(); ++row) {
      if (owned[row]) continue;
      ASSERT_EQ(std::memcmp(&d_.bytes()[row * row_bytes], &before_.bytes()[row * row_bytes], row_bytes), 0)
          << case_.Text() << " by " << by << " has changed row " << row;
    }
  }

  const GroupedCase case_;
  const GemmProblem problem_;
  Matrix a_, b_, d_, before_, row_, column_, residual_, groups_, scale_a_, scale_b_;
  GroupArgs group_args_, host_groups_;
  ScaleArgs scales_, host_scales_;
  EpilogueArgs epilogue_, host_epilogue_;
};

}  // namespace gemmsmith
