// The commands that show how kernels are chosen.
#include <gmock/gmock.h>

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

TEST_F(Cli, ExplainsGroupsOfUnequalSize) {
  const std::string sizes = " --n 1024 --k 1024 --dtype bf16 --gpu h200";
  const json plain = Run("explain --json --m 4413" + sizes).Json(),
             one = Run("explain --json --groups 4413" + sizes).Json(),
             many = Run("explain --json --groups 4096,17,0,300" + sizes).Json();
  EXPECT_EQ(one.at("ranked").at(0), plain.at("ranked").at(0));
  EXPECT_EQ(many.at("m"), 4413);
  EXPECT_EQ(many.at("group_rows"), json({4096, 17, 0, 300}));
  EXPECT_GT(many.at("ranked").at(0).at("microseconds"), plain.at("ranked").at(0).at("microseconds"));
  EXPECT_NE(Run("explain --groups 4096,17,0,300" + sizes).out.find("4 groups of 0 to 4096 rows"), std::string::npos);
  const json expected = Run("explain --json --m 640 --expected-groups 8" + sizes).Json();
  EXPECT_EQ(expected.at("m"), 640);
  EXPECT_EQ(expected.at("group_rows").size(), 8u);
  EXPECT_EQ(Run("explain --groups 5 --m 5 --n 64 --k 64 --device cpu").exit_code, 0);
  EXPECT_EQ(Run("explain --groups 4,-1" + sizes).exit_code, 2);
  EXPECT_EQ(Run("explain --groups 0,0" + sizes).exit_code, 1);
  EXPECT_EQ(Run("explain --m 5 --groups 5 --expected-groups 2" + sizes).exit_code, 2);
  EXPECT_EQ(Run("explain" + sizes).exit_code, 2);
}

TEST_F(Cli, ReckonsAnUnknownDeviceAsTheNearestOlderOneAndSaysSo) {
  const std::string problem = "explain --json --m 64 --n 64 --k 64 ";
  const Result b300 = Run(problem + "--gpu b300 --arch sm_103a");
  EXPECT_EQ(b300.Json().at("device"), "b200");
  EXPECT_EQ(b300.Json().at("arch"), "sm_103a");
  EXPECT_NE(b300.err.find("there is no device \"b300\"; reckoning with b200"), std::string::npos) << b300.err;
  const Result sm_88 = Run(problem + "--arch sm_88");
  EXPECT_EQ(sm_88.Json().at("device"), "rtx3090");
  EXPECT_NE(sm_88.err.find("sm_88"), std::string::npos) << sm_88.err;
  EXPECT_NE(sm_88.err.find("rtx3090"), std::string::npos) << sm_88.err;
  EXPECT_EQ(Run(problem + "--gpu b300").exit_code, 2) << "its architecture is not known";
  EXPECT_EQ(Run(problem + "--gpu h100 --arch sm_90a").err, "");
}

TEST_F(Cli, ExplainReckonsWithAsManySmsAsItIsTold) {
  const std::string explain = "explain --m 4096 --n 4096 --k 512 --dtype bf16 --layout nt --json ";
  for (const char* where : {"--gpu h200", "--device emulator:sm_90a"}) {
    const json all = Run(explain + where).Json()["ranked"][0], some = Run(explain + where + " --num-sms 50").Json();
    EXPECT_THAT(all["config"].dump(), testing::HasSubstr("ctas=132")) << all;
    EXPECT_THAT(some["ranked"][0]["config"].dump(), testing::HasSubstr("ctas=50"));
    EXPECT_GT(some["ranked"][0]["microseconds"], 1.5 * all["microseconds"].get<double>());
    EXPECT_EQ(Run(explain + where + " --num-sms 133").exit_code, 1) << where;
  }
}

}  // namespace
}  // namespace gemmsmith
