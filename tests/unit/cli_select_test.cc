// The commands that show how kernels are chosen.
#include <algorithm>

#include "../support/cli_testing.h"

namespace gemmsmith {
namespace {

TEST_F(Cli, ScoresTablesOfAFolder) {
  fs::create_directories(Path("tables"));
  Write("tables/times_h100.csv",
        "dtype,kernel_source,m,n,k,us\nbfloat16,x,64,4096,4096,18\nbfloat16,x,8192,4096,4096,354\n");
  Write("tables/other.csv", "a,b\n1,2\n");
  const Result text = Run("select score --data " + Path("tables"));
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_NE(text.out.find("MAPE %"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("other.csv: skipped: "), std::string::npos) << text.out;
  const json tables = Run("select score --json --data " + Path("tables")).Json().at("tables");
  ASSERT_EQ(tables.size(), 2u);
  EXPECT_EQ(tables[1].at("device"), "h100");
  EXPECT_EQ(tables[1].at("rows"), 2);
  EXPECT_LT(tables[1].at("measures").at("MAPE %"), 30);
  // The larger product is a matter of the tensor cores: without their time nothing is predicted.
  EXPECT_GT(tables[1].at("without").at("compute").at("MAPE %"), tables[1].at("measures").at("MAPE %"));
}

TEST_F(Cli, AFolderWithoutTablesIsAFailure) {
  fs::create_directories(Path("tables"));
  EXPECT_EQ(Run("select score --data " + Path("tables")).exit_code, 1);
  EXPECT_EQ(Run("select score --data " + Path("missing")).exit_code, 2);
  Write("tables/broken_h100.csv", "dtype,kernel_source,m,n,k,us\nbfloat16,x,64\n");
  const Result broken = Run("select score --data " + Path("tables"));
  EXPECT_EQ(broken.exit_code, 1);
  EXPECT_NE(broken.err.find("line 2"), std::string::npos) << broken.err;
}

TEST_F(Cli, DrawsPredictedTimes) {
  const Result result = Run("plot --gpu h100 --n 4096 --k 1024 --most-m 1000 --json --out " + Path("time.svg"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json points = result.Json().at("points");
  EXPECT_EQ(points.front().at("m"), 1);
  EXPECT_EQ(points.back().at("m"), 1000);
  for (const json& point : points) EXPECT_GT(point.at("microseconds"), 0);
  // Edges are exact: one row of A less, and the last wave is not begun, or another config is taken.
  EXPECT_GT(result.Json().at("wave_edges").size(), 1u);
  const std::string svg = Read(Path("time.svg"));
  EXPECT_EQ(svg.substr(0, 4), "<svg");
  EXPECT_GT(static_cast<std::size_t>(std::count(svg.begin(), svg.end(), '\n')), 2 * points.size());
  EXPECT_EQ(Run("plot --n 4096 --k 1024 --out " + Path("missing/time.svg")).exit_code, 1);
  EXPECT_EQ(Run("plot --n 0 --k 1024 --out " + Path("time.svg")).exit_code, 2);
}

}  // namespace
}  // namespace gemmsmith
