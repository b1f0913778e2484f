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
  std::string name, text;
  const DeviceSpec& spec;
  std::vector<TunedConfig> configs;
};

Table ReadTable(const std::string& name, const char* device) {
  std::ifstream file(GEMMSMITH_SOURCE_DIR "/tests/data/" + name + ".zst", std::ios::binary);
  const std::string packed{std::istreambuf_iterator<char>(file), {}};
  std::string csv(1 << 20, '\0');
  csv.resize(ZSTD_decompress(csv.data(), csv.size(), packed.data(), packed.size()));
  return {name, csv, FindDeviceSpec(device), ReadKernelTunerTable(Csv(name, csv))};
}

const std::vector<Table>& Tables() {
  static const std::vector<Table> tables = [] {
    std::vector<Table> read;
    read.push_back(ReadTable("kt_sgemm4096_RTX_2080_Ti.csv", "rtx2080ti"));
    read.push_back(ReadTable("kt_sgemm4096_RTX_3090.csv", "rtx3090"));
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

double Value(const std::vector<TableScore::Measure>& measures, std::string_view name) {
  for (const TableScore::Measure& measure : measures)
    if (measure.name == name) return measure.value;
  ADD_FAILURE() << name << " is not measured";
  return 0;
}

TEST(KernelTunerScore, WithoutItsTermsForLoadsTheModelMisses) {
  for (const Table& table : Tables()) {
    const TableScore score = ScoreTable(table.name, table.text).front();
    EXPECT_EQ(score.device, table.spec.name);
    EXPECT_EQ(score.rows, 17956);
    EXPECT_LE(Value(score.measures, "regret of top 8 %"), 100 * kGate);
    ASSERT_EQ(score.ablations.size(), 10u);
    for (const auto& [term, measures] : score.ablations) {
      if (term == "l1" || term == "overlap") {
        EXPECT_GT(Value(measures, "regret of top 8 %"), 100 * kGate) << table.name << " without " << term;
      } else if (term == "shared memory" || term == "bank conflicts" || term == "spills") {
        EXPECT_LT(Value(measures, "Spearman"), Value(score.measures, "Spearman") - 0.05)
            << table.name << " without " << term;
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

TEST(KernelTunerScore, TablesAreReadStrictly) {
  const std::string header = "MWG,NWG,KWG,MDIMC,NDIMC,MDIMA,NDIMB,KWI,VWM,VWN,SA,SB,ms\r\n";
  const std::string row = "64,128,32,8,16,32,16,2,2,4,1,0,12.5\r\n";
  const std::string two_rows = header + row + "\n" + row;
  const auto table = ReadKernelTunerTable(Csv("t", two_rows));
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
      {header + "64,128,32,8,16,32,16,2,2,4,1,0\n", "line 2 has 12 fields"},
      {header + row + "64,128,32,8,16,32,16,2,2,4,1,0,0\n", "row 3: ms=0"},
      {header + "64,128,32,8,16,32,16,2,2,4,1,0,nan\n", "row 2: ms=nan"},
      {header + "64,128,32,8.5,16,32,16,2,2,4,1,0,1\n", "row 2: MDIMC=8.5"},
      {header + "0,128,32,8,16,32,16,2,2,4,1,0,1\n", "row 2: MWG"},
      {header + "64,128,32,8,16,32,16,2,3,4,1,0,1\n", "MWG=64 is not a multiple"},
      {header + "64,128,32,8,3,32,16,2,2,4,1,0,1\n", "MDIMC*NDIMC=24"},
      {header + "99999,128,32,8,16,32,16,2,2,4,1,0,1\n", "row 2: MWG"},
      {header + "4096,4096,4096,64,64,64,64,2,2,4,1,0,1\n", "MDIMC*NDIMC=4096"}};
  for (const auto& [csv, message] : bad) {
    try {
      ReadKernelTunerTable(Csv("t", csv));
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
