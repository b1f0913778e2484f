// Grouped calls: what they must be given, on the CPU, and how they are checked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "../support/grouped_call.h"
#include "core/groups.h"
#include "gemmsmith/error.h"
#include "select/cost_model.h"

namespace gemmsmith {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

Engine& CpuEngine(bool check_groups = false) {
  static Engine plain([] {
    EngineOptions options;
    options.enable_disk = false;
    return options;
  }());
  static Engine checking([] {
    EngineOptions options;
    options.enable_disk = false;
    options.check_groups = true;
    return options;
  }());
  return check_groups ? checking : plain;
}
Device& Cpu() { return CpuEngine().devices().Get({}); }

const GroupedCase kCases[] = {
    {"contiguous:3", 20, 7, 9, "f32", "nn", "none", {0, 0, 0, 2, 2, -1, -1, 1, 1, 1, 1, 1, 1, 0, -1, 2, 2, 2, 2, -1}},
    {"contiguous:2", 4, 8, 16, "bf16", "nt", "none", {-1, -1, -1, -1}},
    {"contiguous:4", 700, 33, 40, "f32", "nt"},
    {"ends:3", 50, 16, 24, "bf16,bf16,f32", "nt", "none", {0, 17, 40}},
    {"ends:1", 5, 16, 24, "f64", "tn", "none", {5}},
    {"ends:5:9", 50, 17, 24, "f16", "nn"},
    {"masked:3", 30, 20, 10, "f32", "tt", "none", {30, 0, 11}},
    {"masked:1", 30, 20, 10, "s8", "nn", "none", {29}},
    {"along_k:4", 20, 12, 90, "f32", "tn", "none", {10, 10, 47, 90}},
    {"along_k:3", 20, 12, 90, "bf16,bf16,f32", "nt", "none", {1, 1, 60}, BetaClass::kGeneral},
    {"along_k:1", 8, 8, 8, "f32", "nn", "none", {0}},
    {"ends:3", 50, 16, 24, "f32", "nt", "none", {9, 17, 40}, BetaClass::kZero, "bias+scale_row+residual+silu"},
    {"masked:3", 9, 16, 24, "f32", "nn", "none", {9, 0, 4}, BetaClass::kZero, "bias+scale_row+residual"},
    {"along_k:2", 9, 16, 24, "f32", "nn", "none", {7, 9}, BetaClass::kZero, "bias+scale_row+residual"},
};

TEST(Groups, AreComputedOnTheCpuAndOtherRowsAreLeft) {
  std::uint64_t seed = 100;
  for (const GroupedCase& c : kCases) {
    GroupedCall call(Cpu(), c, ++seed);
    CpuEngine().Gemm(call.Args(&Matrix::there));
    call.ExpectRight("cpu", seed);
    const PreparedGemm prepared = CpuEngine().Prepare(call.Args(&Matrix::there));
    if (c.beta == BetaClass::kZero) prepared.Run(), call.ExpectRight("prepared", seed);
  }
}

TEST(Groups, VerifyFindsAWrongElementOfAnyGroup) {
  for (const char* grouping : {"contiguous:2", "ends:3", "masked:3", "along_k:2"}) {
    GroupedCall call(Cpu(), {grouping, 300, 24, 64, "f32"}, 7);
    CpuEngine().Gemm(call.Args(&Matrix::there));
    call.ExpectRight("cpu", 1);
    const GemmArgs args = call.Args(&Matrix::host);
    const std::int64_t row = std::string_view(grouping) == "ends:3" ? 299 : 0;
    static_cast<float*>(args.d.data)[row * 24 + 3] += 1;
    const VerifyReport report = Verify(call.problem(), args, {});
    EXPECT_FALSE(report.ok) << grouping;
    EXPECT_EQ(report.worst_row, row) << grouping;
    EXPECT_EQ(report.worst_column, 3) << grouping;
  }
}

struct BadCall {
  const char* grouping;
  std::function<void(GemmArgs&, GroupArgs&)> spoil;
  const char* complaint;
};

TEST(Groups, BadTensorsAreRefusedWithWhatIsWanted) {
  std::vector<std::int32_t> numbers(512);
  float factor = 1;
  ScaleArgs scales{Tensor(&factor, {1, 1}), Tensor(&factor, {1, 1})};
  const Tensor line(numbers.data(), {3});
  const BadCall kRows[] = {
      {"contiguous:3", [](GemmArgs&, GroupArgs& g) { g.index = {}; }, "0 of index, ends and counts; one of them"},
      {"contiguous:3", [&](GemmArgs&, GroupArgs& g) { g.ends = line; }, "2 of index, ends and counts"},
      {"contiguous:3", [&](GemmArgs&, GroupArgs& g) { g.index = line; },
       "groups.index must be 40 s32, one for each row, side by side; it is 3 s32"},
      {"ends:3", [](GemmArgs&, GroupArgs& g) { g.ends.dtype = DType::kF32; },
       "groups.ends must be 3 s32, one for each group, side by side; it is 3 f32"},
      {"ends:3", [](GemmArgs&, GroupArgs& g) { g.ends.strides[0] = 2; }, "side by side"},
      {"ends:3", [](GemmArgs&, GroupArgs& g) { g.ends.data = nullptr; }, "groups.ends is a null pointer"},
      {"ends:3", [](GemmArgs&, GroupArgs& g) { g.ends.data = static_cast<char*>(g.ends.data) + 2; }, "4 bytes"},
      {"ends:3", [](GemmArgs&, GroupArgs& g) { g.ends.device = ParseDeviceId("cuda"); }, "groups.ends is on cuda:0"},
      {"ends:3", [](GemmArgs& a, GroupArgs& g) { g.ends.data = a.d.data; }, "d overlaps groups.ends"},
      {"ends:3", [](GemmArgs& a, GroupArgs&) { a.a = a.b; },
       "groups.ends want a (m, k), b (groups, k, n) and d (m, n); their ranks are 3, 3 and 2"},
      {"masked:3",
       [](GemmArgs& a, GroupArgs&) {
         a.d = Tensor(a.d.data, DType::kF32, {40, 24});
       },
       "groups.counts want a (groups, m, k), b (groups, k, n) and d (groups, m, n)"},
      {"masked:3", [](GemmArgs& a, GroupArgs&) { a.a.shape[0] = 2; }, "groups of a and groups of b differ: 2 and 3"},
      {"masked:3", [](GemmArgs& a, GroupArgs&) { a.d.shape[0] = 2; }, "groups of d and groups of b differ: 2 and 3"},
      {"masked:3", [](GemmArgs&, GroupArgs& g) { g.expected_m = 41; }, "expected_m=41 of groups of at most m=40"},
      {"along_k:3", [](GemmArgs&, GroupArgs& g) { g.expected_m = 1; }, "expected_m=1"},
      {"along_k:3", [](GemmArgs& a, GroupArgs&) { a.d.strides[0] = 0; }, "entries of d overlap"},
      {"ends:3", [&](GemmArgs& a, GroupArgs&) { a.scales = &scales; }, "scale_a must be a tensor (40, 1)"},
      {"masked:3", [&](GemmArgs& a, GroupArgs&) { a.scales = &scales; }, "scale_a must be a tensor (3, 40, 1)"},
  };
  for (const BadCall& row : kRows) {
    GroupedCall call(Cpu(), {row.grouping, 40, 24, 32, "f32"}, 3);
    GemmArgs args = call.Args(&Matrix::there);
    GroupArgs groups = *args.groups;
    args.groups = &groups;
    row.spoil(args, groups);
    EXPECT_THAT(ErrorOf([&] { CpuEngine().Gemm(args); }), HasSubstr(row.complaint)) << row.grouping;
    call.ExpectAllUntouched();
  }
}

TEST(Groups, WhatIsOutOfRangeIsRefusedBeforeAnythingIsWritten) {
  const struct {
    GroupedCase c;
    const char* complaint;
  } kRows[] = {
      {{"contiguous:2", 4, 8, 8, "f32", "nn", "none", {0, 0, 1, 2}}, "groups.index of row 3 is 2; there are 2 groups"},
      {{"contiguous:2", 4, 8, 8, "f32", "nn", "none", {0, -2, 1, 1}}, "groups.index of row 1 is -2"},
      {{"ends:3", 9, 8, 8, "f32", "nn", "none", {4, 3, 9}}, "groups.ends of group 1 is 3; it must be from 4 to m=9"},
      {{"ends:3", 9, 8, 8, "f32", "nn", "none", {4, 5, 10}}, "groups.ends of group 2 is 10"},
      {{"along_k:2", 9, 8, 6, "f32", "nn", "none", {4, 7}}, "groups.ends of group 1 is 7; it must be from 4 to k=6"},
      {{"masked:2", 9, 8, 8, "f32", "nn", "none", {4, 10}}, "groups.counts of group 1 is 10; it must be from 0 to m=9"},
      {{"masked:2", 9, 8, 8, "f32", "nn", "none", {4, -1}}, "groups.counts of group 1 is -1"},
  };
  for (const auto& row : kRows) {
    GroupedCall call(Cpu(), row.c, 3);
    EXPECT_THAT(ErrorOf([&] { CpuEngine().Gemm(call.Args(&Matrix::there)); }), HasSubstr(row.complaint));
    call.ExpectAllUntouched();
  }
  const GemmProblem p = GroupedCase{"contiguous:2", 200, 8, 8, "f32"}.Problem();
  std::vector<std::int32_t> index(200, 1);
  index[0] = 0;
  EXPECT_THAT(ErrorOf([&] { PartsOf(p, Tensor(index.data(), {200}), GroupAlignment(p.grouping)); }),
              HasSubstr("rows of group 1 begin at row 1; groups begin at multiples of 128"));
}

TEST(Groups, ArePosedInWords) {
  GemmProblem p = MakeProblem(64, 48, 32, DType::kBf16, "nt");
  SetGrouping(p, "masked:4:20");
  EXPECT_EQ(ToString(p), "m=64 n=48 k=32 bf16 nt grouping=masked:4:20");
  EXPECT_EQ(p.batch_stride_a, 64 * 32);
  EXPECT_EQ(p.batch_stride_b, 48 * 32);
  EXPECT_EQ(p.batch_stride_d, 64 * 48);
  EXPECT_EQ(p.flops(), 2.0 * 4 * 64 * 48 * 32);
  SetGrouping(p, "ends:4");
  EXPECT_EQ(p.batch_stride_a, 0);
  EXPECT_EQ(p.flops(), 2.0 * 64 * 48 * 32);
  SetGrouping(p, "none");
  EXPECT_EQ(p, MakeProblem(64, 48, 32, DType::kBf16, "nt"));
  for (const char* bad : {"", "masked", "none:3", "masked:0", "masked:x", "masked:4:20:1", "rows:4", "masked:4:65"})
    EXPECT_THROW(SetGrouping(p, bad), Error) << bad;
}

TEST(Groups, TakeNoBatchMaximaOrPackedOperand) {
  const GemmProblem good = GroupedCase{"ends:3", 64, 48, 32, "f32"}.Problem();
  EXPECT_NO_THROW(Validate(good));
  const struct {
    std::function<void(GemmProblem&)> spoil;
    const char* complaint;
  } kRows[] = {
      {[](GemmProblem& p) { p.batch = 2, p.batch_stride_d = 64 * 48; }, "groups take no batch (2)"},
      {[](GemmProblem& p) { p.b_layout = Layout::kPacked; }, "no packed operands"},
      {[](GemmProblem& p) { SetEpilogue(p, Epilogue::Parse("amax_row")); }, "no epilogue with maxima"},
      {[](GemmProblem& p) { SetEpilogue(p, Epilogue::Parse("amax_block")); }, "no epilogue with maxima"},
      {[](GemmProblem& p) { p.grouping = Grouping::kNone; }, "groups=3 and expected_m=0 without a grouping"},
      {[](GemmProblem& p) { p.groups = 0; }, "groups=0"},
  };
  for (const auto& row : kRows) {
    GemmProblem p = good;
    EXPECT_THAT(ErrorOf([&] {
                  row.spoil(p);
                  Validate(p);
                }),
                HasSubstr(row.complaint));
  }
}

TEST(Groups, OnlyHoppersKernelsReadThemOnADevice) {
  const GemmProblem p = GroupedCase{"ends:3", 64, 48, 32, "bf16"}.Problem();
  EXPECT_THAT(ErrorOf([&] { CpuEngine().Render(p, ParseTarget("sm_80"), FindDeviceSpec("a100")); }),
              HasSubstr("grouping ends: only Hopper's kernels read groups on the device; call once for each group"));
  EXPECT_THAT(ErrorOf([&] { CpuEngine().Tune(p, {}); }), HasSubstr("tune the product of one group"));
  EXPECT_FALSE(CpuEngine().Explain(p, DeviceId{}).ranked.empty());
}

TEST(Groups, TheModelReckonsWithWhatIsExpected) {
  const CodeTarget hopper = ParseTarget("sm_90a");
  const DeviceSpec& spec = FindDeviceSpec("h200");
  const auto time = [&](const char* grouping, std::int64_t m) {
    return Rank(GroupedCase{grouping, m, 4096, 7168}.Problem(), hopper, spec).ranked.at(0).microseconds;
  };
  EXPECT_LT(time("masked:32:20", 4096), time("masked:32:1024", 4096) / 3);
  EXPECT_LT(time("masked:32:1024", 4096), time("masked:32", 4096) / 3);
  EXPECT_NEAR(time("ends:8", 32768) / time("contiguous:8", 32768), 1, 0.1);
  EXPECT_GT(time("ends:64", 4096), time("ends:4", 4096)) << "more weights to read";
}

TEST(Groups, OfRandomSizesFillTheRowsOrTheirExpectedShare) {
  for (const char* grouping : {"contiguous:5", "ends:5", "masked:5", "along_k:5", "ends:5:30", "contiguous:300"}) {
    const GemmProblem p = GroupedCase{grouping, 1000, 8, 700, "f32"}.Problem();
    std::vector<std::int32_t> numbers(static_cast<std::size_t>(GroupElements(p)));
    const Tensor tensor(numbers.data(), {GroupElements(p)});
    FillGroups(p, tensor, 11);
    const std::vector<GroupPart> parts = PartsOf(p, tensor, GroupAlignment(p.grouping));
    ASSERT_FALSE(parts.empty()) << grouping;
    if (p.expected_m > 0) {
      EXPECT_LE(parts.back().end, 5 * 39) << grouping;
    } else if (p.grouping != Grouping::kMasked) {
      EXPECT_EQ(parts.back().end, p.grouping == Grouping::kAlongK ? 700 : 1000) << grouping;
    }
    std::vector<std::int32_t> again = numbers;
    FillGroups(p, tensor, 11);
    EXPECT_EQ(again, numbers) << grouping;
    FillGroups(p, tensor, 12);
    EXPECT_NE(again, numbers) << grouping;
  }
}

}  // namespace
}  // namespace gemmsmith
