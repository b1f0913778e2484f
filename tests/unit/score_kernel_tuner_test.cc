#include "select/score_kernel_tuner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <fstream>
#include <iterator>

#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

using ::testing::HasSubstr;

constexpr double kGate = 0.10;

struct Table {
  std::string name;
  const DeviceSpec& spec;
  std::vector<TunedConfig> configs;
};

Table ReadTable(const std::string& name) {
  std::ifstream file(GEMMSMITH_SOURCE_DIR "/tests/data/" + name + ".zst", std::ios::binary);
  const std::string packed{std::istreambuf_iterator<char>(file), {}};
  std::string csv(1 << 20, '\0');
  csv.resize(ZSTD_decompress(csv.data(), csv.size(), packed.data(), packed.size()));
  return {name, DeviceOfTable(name), ReadKernelTunerTable(csv)};
}

const std::vector<Table>& Tables() {
  static const std::vector<Table> tables = [] {
    std::vector<Table> read;
    for (const char* name : {"kt_sgemm4096_RTX_2080_Ti.csv", "kt_sgemm4096_RTX_3090.csv"})
      read.push_back(ReadTable(name));
    return read;
  }();
  return tables;
}

TEST(KernelTunerScore, TheBestOfTheFirstEightIsWithinTenPercentOfTheBestOnEachGpu) {
  for (const Table& table : Tables()) {
    ASSERT_EQ(table.configs.size(), 17956u);
    const RankingScore score = ScoreRanking(table.configs, table.spec);
    EXPECT_LE(score.regret_top8, kGate) << table.name;
    EXPECT_GE(score.spearman, 0.9) << table.name;
  }
}

TEST(KernelTunerScore, WithoutItsTermsForLoadsTheModelMisses) {
  for (const Table& table : Tables()) {
    const RankingScore whole = ScoreRanking(table.configs, table.spec);
    const std::vector<AblatedScore> ablated = ScoreAblations(table.configs, table.spec);
    ASSERT_EQ(ablated.size(), 10u);
    for (const AblatedScore& part : ablated) {
      if (part.without == "l1" || part.without == "overlap") {
        EXPECT_GT(part.score.regret_top8, kGate) << table.name << " without " << part.without;
      } else if (part.without == "shared memory" || part.without == "bank conflicts" || part.without == "spills") {
        EXPECT_LT(part.score.spearman, whole.spearman - 0.05) << table.name << " without " << part.without;
      }
    }
  }
}

TEST(KernelTunerScore, AFifthMoreOrLessOfAnyConstantChangesLittle) {
  constexpr double SimtConstants::*kConstants[] = {
      &SimtConstants::broadcast,       &SimtConstants::exposed,         &SimtConstants::loop_instructions,
      &SimtConstants::spill_clocks,    &SimtConstants::extra_registers, &SimtConstants::address_instructions,
      &SimtConstants::least_registers, &SimtConstants::tile_latency,    &SimtConstants::l2_bytes_per_clock,
      &SimtConstants::shared_latency,  &SimtConstants::l1_latency};
  for (const Table& table : Tables())
    for (const auto& member : kConstants)
      for (const double factor : {0.8, 1.2}) {
        SimtConstants constants;
        constants.*member *= factor;
        EXPECT_LE(ScoreRanking(table.configs, table.spec, constants).regret_top8, kGate)
            << table.name << ": constant " << &member - kConstants << ", now " << constants.*member;
      }
}

TEST(KernelTunerScore, AFifthMoreOrLessOfTheDevicesNumbersChangesLittle) {
  const std::pair<const char*, void (*)(DeviceSpec&, double)> changes[] = {
      {"clock", [](DeviceSpec& spec, double by) { spec.clock_ghz *= by; }},
      {"flops per clock", [](DeviceSpec& spec, double by) { spec.f32_flops_per_clock *= by; }},
      {"shared bytes per clock", [](DeviceSpec& spec, double by) { spec.shared_bytes_per_clock *= by; }},
      {"SMs", [](DeviceSpec& spec, double by) { spec.multiprocessors = static_cast<int>(spec.multiprocessors * by); }},
      {"warps", [](DeviceSpec& spec, double by) { spec.warps_per_sm = static_cast<int>(spec.warps_per_sm * by); }}};
  for (const Table& table : Tables())
    for (const auto& [name, change] : changes)
      for (const double factor : {0.8, 1.2}) {
        DeviceSpec spec = table.spec;
        change(spec, factor);
        EXPECT_LE(ScoreRanking(table.configs, spec).regret_top8, kGate)
            << table.name << ": " << name << " x " << factor;
      }
}

TEST(KernelTunerScore, RegretAndCorrelationAreThoseOfTheOrder) {
  const Table& table = Tables()[0];
  std::vector<TunedConfig> configs(table.configs.begin(), table.configs.begin() + 500);
  const auto predicted = [&](const TunedConfig& config) {
    return PredictSimt(config.kernel, MakeProblem(4096, 4096, 4096), table.spec).microseconds;
  };
  for (TunedConfig& config : configs) config.milliseconds = 1e-3 * predicted(config);
  RankingScore score = ScoreRanking(configs, table.spec);
  EXPECT_EQ(score.regret_top1, 0);
  EXPECT_EQ(score.regret_top8, 0);
  EXPECT_NEAR(score.spearman, 1, 1e-12);
  for (TunedConfig& config : configs) config.milliseconds = 1e3 / predicted(config);
  score = ScoreRanking(configs, table.spec);
  EXPECT_GT(score.regret_top8, 0);
  EXPECT_GE(score.regret_top1, score.regret_top8);
  EXPECT_NEAR(score.spearman, -1, 1e-12);
}

TEST(KernelTunerScore, FilesAreNamedAfterTheirDevices) {
  EXPECT_EQ(DeviceOfTable("/some/where.d/kt_sgemm4096_RTX_2080_Ti.csv.gz").name, "rtx2080ti");
  EXPECT_EQ(DeviceOfTable("kt_sgemm4096_RTX_Titan.csv").name, "titanrtx");
  EXPECT_EQ(DeviceOfTable("kt_sgemm4096_A100.csv").name, "a100");
  EXPECT_EQ(DeviceOfTable("RTX_3090.csv").name, "rtx3090");
  for (const char* name : {"kt_sgemm4096_RTX_2080.csv", "kt_sgemm4096.csv", "", "kt_sgemm4096_.csv"})
    EXPECT_THROW(DeviceOfTable(name), Error) << name;
}

TEST(KernelTunerScore, TablesAreReadStrictly) {
  const std::string header = "MWG,NWG,KWG,MDIMC,NDIMC,MDIMA,NDIMB,KWI,VWM,VWN,SA,SB,ms\r\n";
  const std::string row = "64,128,32,8,16,32,16,2,2,4,1,0,12.5\r\n";
  const auto table = ReadKernelTunerTable(header + row + "\n" + row);
  ASSERT_EQ(table.size(), 2u);
  EXPECT_EQ(table[0].milliseconds, 12.5);
  const SimtKernel& kernel = table[0].kernel;
  EXPECT_EQ(kernel.threads, 128);
  EXPECT_EQ(kernel.a.thread_lines, 8);
  EXPECT_EQ(kernel.a.copy_steps, 8);
  EXPECT_EQ(kernel.b.lane_divisor, 8);
  EXPECT_TRUE(kernel.a.staged);
  EXPECT_FALSE(kernel.b.staged);

  const std::pair<std::string, const char*> bad[] = {
      {"", "no column MWG"},
      {"MWG,NWG\n", "no column KWG"},
      {header + "64,128,32,8,16,32,16,2,2,4,1,0\n", "line 2: ms"},
      {header + row + "64,128,32,8,16,32,16,2,2,4,1,0,0\n", "line 3: ms"},
      {header + "64,128,32,8,16,32,16,2,2,4,1,0,nan\n", "line 2: ms"},
      {header + "64,128,32,8.5,16,32,16,2,2,4,1,0,1\n", "line 2: MDIMC"},
      {header + "0,128,32,8,16,32,16,2,2,4,1,0,1\n", "line 2: MWG"},
      {header + "64,128,32,8,16,32,16,2,3,4,1,0,1\n", "MWG=64 is not a multiple"},
      {header + "64,128,32,8,3,32,16,2,2,4,1,0,1\n", "MDIMC*NDIMC=24"},
      {header + "99999,128,32,8,16,32,16,2,2,4,1,0,1\n", "line 2: MWG"},
      {header + "4096,4096,4096,64,64,64,64,2,2,4,1,0,1\n", "MDIMC*NDIMC=4096"}};
  for (const auto& [csv, message] : bad) {
    try {
      ReadKernelTunerTable(csv);
      ADD_FAILURE() << csv;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr(message));
    }
  }
  EXPECT_THROW(ScoreRanking({}, Tables()[0].spec), Error);
}

}  // namespace
}  // namespace gemmsmith
