// Grouped products of the sm_90a template against float64 references, on the emulated device.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/emulated_family.h"
#include "../support/grouped_call.h"

namespace gemmsmith {

const KernelFamily& Sm90Family();

namespace {

using Indices = std::vector<std::int32_t>;

/// Rows of groups, each filled up to a multiple of 128.
Indices Index(std::int64_t m, std::initializer_list<std::pair<std::int32_t, std::int64_t>> rows_of_groups) {
  Indices index(static_cast<std::size_t>(m), -1);
  std::size_t row = 0;
  for (const auto& [group, rows] : rows_of_groups) {
    std::fill_n(index.begin() + static_cast<std::ptrdiff_t>(row), rows, group);
    row += (static_cast<std::size_t>(rows) + 127) / 128 * 128;
  }
  return index;
}

class Sm90Grouped : public EmulatedFamily {
 protected:
  Sm90Grouped() : EmulatedFamily(Sm90Family()) {}
  void SetUp() override { UseDevice("emulator:sm_90a"); }

  /// By every `step`th configuration, from another one each time.
  void ExpectGroupsRight(const GroupedCase& c, std::size_t step) {
    const CodeTarget target = device_->targets().front();
    const GemmProblem problem = GroupedCall(*device_, c, ++seed_).problem();
    ASSERT_EQ(family_.WhyNot(problem, target), "") << c.Text();
    const std::vector<TileConfig> configs = family_.Candidates(problem, target, device_->spec());
    for (std::size_t i = seed_ % std::min(step, configs.size()); i < configs.size(); i += step) {
      GroupedCall call(*device_, c, seed_);
      const GemmArgs args = call.Args(&Matrix::there);
      ASSERT_EQ(ToString(Describe(args, problem.acc_type)), ToString(problem));
      RunConfig(problem, configs[i], args);
      call.ExpectRight(ToString(configs[i]), seed_);
    }
  }
};

const GroupedCase kBf16[] = {
    {"contiguous:3", 640, 136, 80, "bf16", "nt", "none", Index(640, {{0, 100}, {2, 130}, {1, 1}, {0, 128}})},
    {"contiguous:2", 300, 72, 64, "bf16", "nn", "none", Index(300, {{1, 256}, {0, 44}})},
    {"contiguous:4", 256, 64, 64, "bf16,bf16,f32", "nt", "none", Index(256, {})},
    {"contiguous:2", 400, 67, 72, "f16", "nt", "none", {}, BetaClass::kZero, nullptr, 5},
    {"ends:4", 333, 136, 72, "bf16", "nt", "none", {77, 77, 300, 333}},
    {"ends:3", 304, 72, 136, "f16,f16,f32", "tn", "none", {1, 2, 131}},
    {"ends:1", 70, 40, 64, "bf16", "nt", "none", {70}},
    {"ends:5", 200, 24, 72, "bf16", "nt", "none", {0, 0, 0, 0, 0}},
    {"ends:4", 333, 67, 72, "bf16", "nt", "none", {}, BetaClass::kGeneral, nullptr, 5},
    {"masked:4", 160, 136, 72, "bf16", "nt", "none", {0, 160, 7, 65}},
    {"masked:3", 40, 72, 136, "f16", "nn", "none", {40, 0, 39}},
    {"masked:2", 264, 264, 64, "bf16,bf16,f32", "nt", "none", {263, 1}},
    {"masked:6:20", 200, 48, 64, "bf16", "nt"},
    {"masked:4:30", 90, 136, 72, "bf16", "nn", "none", {31, 0, 90, 5}},
    {"contiguous:3", 30, 136, 72, "f16", "nt", "none", Index(30, {{2, 29}})},
    {"along_k:3", 136, 72, 328, "bf16,bf16,f32", "tn", "none", {64, 200, 328}},
    {"along_k:4", 72, 136, 264, "bf16,bf16,f32", "nt", "none", {0, 33, 33, 250}, BetaClass::kGeneral},
    {"along_k:3", 264, 48, 200, "f16", "nn", "none", {1, 66, 66}},
    {"masked:2", 90, 80, 72, "bf16", "nt", "none", {88, 3}, BetaClass::kZero, "swiglu"},
    {"ends:3", 130, 80, 72, "bf16", "nt", "none", {3, 70, 129}, BetaClass::kZero, "bias+scale_row+residual"},
};

const GroupedCase kFp8[] = {
    {"contiguous:3", 640, 144, 272, "e4m3,e4m3,bf16", "nt", "128x128",
     Index(640, {{0, 100}, {2, 130}, {1, 1}, {0, 128}})},
    {"contiguous:2", 256, 144, 400, "e4m3,e4m3,f32", "nt", "1x128", Index(256, {{1, 3}, {0, 90}})},
    {"ends:4", 333, 272, 144, "e4m3,e4m3,bf16", "nt", "128x128", {77, 77, 300, 333}},
    {"ends:3", 200, 136, 304, "e5m2,e4m3,f16", "nt", "1x128", {1, 130, 131}},
    {"masked:4", 160, 144, 272, "e4m3,e4m3,bf16", "nt", "128x128", {0, 160, 7, 65}},
    {"masked:2", 272, 56, 144, "e4m3,e4m3,bf16", "nt", "1x128", {271, 0}},
    {"masked:3:17", 80, 144, 272, "e4m3,e4m3,bf16", "nt", "128x128", {17, 0, 80}},
    {"ends:9", 80, 144, 272, "e4m3,e4m3,bf16", "nt", "1x128", {1, 9, 17, 17, 40, 50, 51, 60, 79}},
    {"masked:3", 40, 72, 144, "e4m3,e4m3,f32", "nt", "none", {40, 0, 39}},
    {"along_k:3", 136, 72, 528, "e4m3,e5m2,f32", "nt", "none", {129, 129, 417}},
    {"ends:2", 70, 80, 48, "s8,s8,s32", "nt", "none", {31, 70}},
};

TEST_F(Sm90Grouped, OfRaggedEmptyAndMissingGroupsAreRight) {
  for (const GroupedCase& c : kBf16) ExpectGroupsRight(c, 5);
}

TEST_F(Sm90Grouped, Of8BitsWithBlockScalesAreRight) {
  for (const GroupedCase& c : kFp8) ExpectGroupsRight(c, 5);
}

/// The engine plans one for all sizes, and sizes out of range are nobody's.
TEST_F(Sm90Grouped, AreWhateverTheDeviceSaysThen) {
  const std::pair<const char*, Indices> kGroups[] = {
      {"ends:3", {10, 130, 200}}, {"ends:3", {0, 200, 200}}, {"masked:3", {200, 0, 1}}, {"masked:3", {5, 6, 7}}};
  for (const auto& [grouping, values] : kGroups) {
    GroupedCall call(*device_, {grouping, 200, 40, 64, "bf16", "nt", "none", values}, ++seed_);
    engine().Gemm(call.Args(&Matrix::there));
    device_->Synchronize();
    call.ExpectRight("engine", seed_);
  }
  GroupedCall wild(*device_, {"masked:3", 200, 40, 64, "bf16", "nt", "none", {-7, 0x7fffffff, 200}}, ++seed_);
  engine().Gemm(wild.Args(&Matrix::there));
  device_->Synchronize();
  GroupedCall lost(*device_, {"contiguous:2", 200, 40, 64, "bf16", "nt", "none", Index(200, {{2, 1}, {-5, 72}})},
                   seed_);
  engine().Gemm(lost.Args(&Matrix::there));
  device_->Synchronize();
  lost.ExpectAllUntouched();
}

TEST_F(Sm90Grouped, AreCheckedBeforeTheCallWhereThatIsAskedFor) {
  EngineOptions options;
  options.enable_disk = false;
  options.check_groups = true;
  Engine checking(options);
  Device& device = checking.devices().Get(device_->id());
  const std::pair<GroupedCase, const char*> kRows[] = {
      {{"contiguous:2", 200, 40, 64, "bf16", "nt", "none", Index(200, {{1, 100}, {2, 1}})},
       "groups.index of row 128 is 2; there are 2 groups"},
      {{"contiguous:2", 200, 40, 64, "bf16", "nt", "none", Indices(200, 1)}, "no error"},
      {{"ends:2", 200, 40, 64, "bf16", "nt", "none", {3, 201}}, "groups.ends of group 1 is 201"},
      {{"masked:2", 200, 40, 64, "bf16", "nt", "none", {3, -1}}, "groups.counts of group 1 is -1"}};
  for (const auto& [c, complaint] : kRows) {
    GroupedCall call(device, c, ++seed_);
    try {
      checking.Gemm(call.Args(&Matrix::there));
      EXPECT_STREQ(complaint, "no error");
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(complaint));
      device.Synchronize();
      call.ExpectAllUntouched();
    }
  }
}

TEST_F(Sm90Grouped, AreTunedAndVerified) {
  EngineOptions options;
  options.enable_disk = false;
  options.verify = VerifyMode::kFirstUse;
  Engine engine(options);
  TuneOptions tuning;
  tuning.candidates = 2;
  for (const char* grouping : {"contiguous:2", "masked:2", "along_k:2"}) {
    const GroupedCase c{grouping, 130, 24, 64};
    const std::vector<TuneResult> results = engine.Tune(c.Problem(), device_->id(), tuning);
    ASSERT_EQ(results.size(), 1u);
    for (const TunedCandidate& candidate : results[0].candidates) EXPECT_EQ(candidate.failed, "") << grouping;
    GroupedCall call(engine.devices().Get(device_->id()), c, ++seed_);
    engine.Gemm(call.Args(&Matrix::there));
    call.ExpectRight("first use", seed_);
  }
}

TEST_F(Sm90Grouped, AreRightInEveryConfiguration) {
  ExpectGroupsRight({"ends:3", 90, 280, 72, "bf16", "nt", "none", {31, 32, 88}}, 1);
  ExpectGroupsRight({"ends:3", 560, 280, 136, "bf16", "nt", "none", {270, 271, 555}}, 1);
}

}  // namespace
}  // namespace gemmsmith
