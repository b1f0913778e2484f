// Tables as `gemmsmith select score` reads them. Rows of real tables: aiconfigurator's (Apache-2.0, see NOTICE).
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "gemmsmith/error.h"
#include "gemmsmith/select.h"
#include "gemmsmith/target.h"
#include "select/csv.h"

namespace gemmsmith {
namespace {

double Value(const TableScore& score, std::string_view name) {
  for (const TableScore::Measure& measure : score.measures)
    if (measure.name == name) return measure.value;
  ADD_FAILURE() << name << " is not measured";
  return 1e9;
}

TEST(Csv, ReadsFieldsAndNumbers) {
  const Csv csv("t", "a, b ,c\r\n1,2.5ms,x\n\n-3,4,y");
  EXPECT_EQ(csv.rows(), 3u);
  EXPECT_EQ(csv.columns(), 3u);
  EXPECT_EQ(csv.Find("b"), 1u);
  EXPECT_EQ(csv.Find("d"), 3u);
  EXPECT_EQ(csv.Number(1, 1), 2.5);
  EXPECT_EQ(csv.Numbers(1, 0), (std::vector<double>{1, -3}));
  EXPECT_EQ(csv.Text(2, 2), "y");
}

TEST(Csv, SaysWhereATableIsBroken) {
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const Error& error) {
      return error.message();
    }
    return "no error";
  };
  EXPECT_EQ(message([] { Csv("t.csv", "a,b\n1,2\n1\n"); }), "t.csv: line 3 has 1 fields, not 2");
  EXPECT_EQ(message([] { Csv("t.csv", "a,b\n1,much\n").Number(1, 1); }),
            "t.csv: row 2, column 2: \"much\" is not a number");
  EXPECT_EQ(Csv("t.csv", "").rows(), 0u);
  EXPECT_EQ(Csv("t.csv", "").Find("a"), Csv("t.csv", "").columns());
}

TEST(Score, SkipsWhatItCannotPredictAndSaysWhy) {
  EXPECT_NE(ScoreTable("times_h100.csv", "x,y\n1,2\n").front().skipped, "");
  const char* const times = "dtype,kernel_source,m,n,k,us\nbfloat16,x,64,64,64,3\n";
  EXPECT_NE(ScoreTable("times_of_nothing.csv", times).front().skipped, "");
  const std::vector<TableScore> scores = ScoreTable("times_H100.csv", times);
  ASSERT_EQ(scores.size(), 1u);
  EXPECT_EQ(scores[0].skipped, "");
  EXPECT_EQ(scores[0].device, "h100");
  EXPECT_EQ(scores[0].rows, 1);
}

TEST(Score, KnowsTheLongestNameOfADevice) {
  const char* const times = "dtype,kernel_source,m,n,k,us\nbfloat16,x,64,64,64,3\n";
  for (const DeviceSpec& spec : AllDeviceSpecs())
    EXPECT_EQ(ScoreTable("aic_" + spec.name + "_bf16.csv", times).front().device, spec.name);
  for (const auto& [file, device] : {std::pair{"kt_sgemm4096_RTX_2080_Ti.csv.gz", "rtx2080ti"},
                                     {"kt_sgemm4096_RTX_Titan.csv", "titanrtx"},
                                     {"RTX_3090.csv", "rtx3090"},
                                     {"kt_sgemm4096_RTX_2080.csv", ""}})
    EXPECT_EQ(ScoreTable(file, times).front().device, device) << file;
}

TEST(Score, CountsTheCyclesThatScaleSimCounts) {
  const TableScore score =
      ScoreTable("lut.csv", "32,16,256,16,16,os,571,89.667\n16,16,512,16,16,os,542,94.64\n").front();
  EXPECT_EQ(score.skipped, "");
  EXPECT_EQ(score.rows, 2);
  EXPECT_EQ(Value(score, "rows met exactly %"), 50);  // of the second, 541 would be right
}

/// Every 50th row of two tables of cuBLAS's bf16 times; both halves of the (n, k) are there.
TEST(Score, PredictsF32TimesOfSeveralDevicesOfOneTable) {
  // Rows of NeuSight's table (MIT), but for the last, whose device nobody has.
  const std::string table =
      "device,latency_ms,kernel,grid_x,grid_y,grid_z,block,M,N,K\n"
      "Tesla T4,20.008,volta_sgemm_128x128_tn,32,16,1,256,2048,4096,4096\n"
      "NVIDIA A100 80GB PCIe,1.554,ampere_sgemm_128x64_tn,20,32,1,128,2048,2560,2560\n"
      "NVIDIA A100 80GB PCIe,4.3006,ampere_sgemm_32x128_tn,128,16,1,256,2048,4096,4096\n"
      "Nobody's,1,x,1,1,1,1,2048,2048,2048\n";
  const std::vector<TableScore> scores = ScoreTable("linear.csv", table);
  ASSERT_EQ(scores.size(), 3u);
  EXPECT_EQ(scores[0].device, "a100");
  EXPECT_EQ(scores[0].rows, 2);
  EXPECT_LT(Value(scores[0], "MAPE %"), 40);
  EXPECT_NE(scores[1].skipped.find("Nobody's"), std::string::npos);
  EXPECT_EQ(scores[2].device, "t4");
  EXPECT_THROW(ScoreTable("linear.csv", table + "Tesla T4,x,y,1,1,1,1,1,1,1\n"), Error);
}

TEST(Score, PredictsTheVendorsLibrary) {
  for (const auto& [file, bound] : {std::pair{"aic_h100_sample.csv", 10.0}, {"aic_a100_sample.csv", 12.0}}) {
    std::ifstream stream(std::filesystem::path(GEMMSMITH_SOURCE_DIR "/tests/data") / file);
    std::stringstream text;
    text << stream.rdbuf();
    const TableScore score = ScoreTable(file, text.str()).front();
    ASSERT_EQ(score.skipped, "") << file;
    EXPECT_GT(score.rows, 500) << file;
    EXPECT_LE(Value(score, "MAPE %"), bound) << file;
    EXPECT_LE(Value(score, "MAPE % other half"), bound) << file;
    for (const TableScore::Ablation& ablation : score.ablations)
      EXPECT_EQ(ablation.measures.front().name, "MAPE %") << ablation.term;
  }
}

TEST(Score, ReadsFoldersOfTables) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "gemmsmith_score";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "b_h200.csv") << "dtype,kernel_source,m,n,k,us\nbfloat16,x,64,64,64,3\n";
  std::ofstream(folder / "a.csv") << "unknown\n1\n";
  std::ofstream(folder / "notes.txt") << "not a table";
  std::vector<std::string> files;
  const auto scores = ScoreTables(folder.string(), [&](const std::string& file, std::size_t count) {
    files.push_back(file);
    EXPECT_EQ(count, 2u);
  });
  EXPECT_EQ(files, (std::vector<std::string>{"a.csv", "b_h200.csv"}));
  ASSERT_EQ(scores.size(), 2u);
  EXPECT_EQ(scores[1].device, "h200");
  EXPECT_THROW(ScoreTables((folder / "missing").string()), Error);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace gemmsmith
