#include "gemmsmith/shapes.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<std::string> Texts(const std::vector<NamedProblem>& shapes) {
  std::vector<std::string> texts;
  for (const NamedProblem& shape : shapes) texts.push_back(shape.name + ": " + ToString(shape.problem));
  return texts;
}

TEST(Shapes, AListStandsForEveryCombinationAndMRunsFastest) {
  EXPECT_THAT(Texts(ParseShapes("x 1,2 3,4 5", "t")), ElementsAre("x: m=1 n=3 k=5 f32 nn", "x: m=2 n=3 k=5 f32 nn",
                                                                  "x: m=1 n=4 k=5 f32 nn", "x: m=2 n=4 k=5 f32 nn"));
}

TEST(Shapes, SettingsComeInAnyOrderWithCommentsTabsAndCarriageReturns) {
  const auto shapes = ParseShapes(
      "# a comment\r\n"
      "\n"
      " a\t2 3 4 layout=tt\tdtype=bf16 # another\r\n"
      "b 8 9 16 beta=-0.5 batch=7 dtype=f16,f16,f32\n"
      "c 2 3 4 compute=tf32",
      "t");
  EXPECT_THAT(Texts(shapes), ElementsAre("a: m=2 n=3 k=4 bf16 tt", "b: m=8 n=9 k=16 f16,f16,f32 nn batch=7 beta",
                                         "c: m=2 n=3 k=4 f32 nn tf32"));
  EXPECT_EQ(shapes[1].beta, -0.5);
  EXPECT_EQ(shapes[1].problem.batch_stride_a, 8 * 16);
  EXPECT_EQ(shapes[1].problem.batch_stride_b, 9 * 16);
  EXPECT_EQ(shapes[1].problem.batch_stride_c, 8 * 9);
  EXPECT_EQ(shapes[1].problem.batch_stride_d, 8 * 9);
}

TEST(Shapes, AnEmptyTextHasNoProblems) {
  EXPECT_TRUE(ParseShapes("", "t").empty());
  EXPECT_TRUE(ParseShapes("\n\n# nothing", "t").empty());
}

struct BadCase {
  std::string name, line, complaint;
};
class BadShapes : public testing::TestWithParam<BadCase> {};

TEST_P(BadShapes, AreRefusedWithFileAndLine) {
  try {
    ParseShapes("good 1 2 3\n" + GetParam().line + "\nalso 1 2 3\n", "some.shapes");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalidArgument);
    EXPECT_THAT(error.message(), StartsWith("some.shapes:2: "));
    EXPECT_THAT(error.what(), HasSubstr(GetParam().complaint));
    for (const char c : std::string(error.what())) EXPECT_TRUE(c >= ' ' && c <= '~') << "for the terminal: " << int(c);
    EXPECT_LT(std::string(error.what()).size(), 300u);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Lines, BadShapes,
    testing::Values(
        BadCase{"TooFewFields", "x 1 2", "2 fields after the name"}, BadCase{"OnlyAName", "x", "0 fields"},
        BadCase{"NotANumber", "x 1 2x3 4", "n=\"2x3\""}, BadCase{"Negative", "x -1 2 3", "m=\"-1\""},
        BadCase{"Fraction", "x 1 2 3.5", "k=\"3.5\""}, BadCase{"Signed", "x +1 2 3", "m=\"+1\""},
        BadCase{"TooLarge", "x 1099511627777 2 3", "m=\"1099511627777\""},
        BadCase{"BeyondInt64", "x 99999999999999999999999 2 3", "m="},
        BadCase{"Product", "x 1099511627776 1099511627776 1", "address space"},
        BadCase{"ProductWithBatch", "x 1000000 1000000 1 batch=1099511627776", "address space"},
        BadCase{"EmptyListEntry", "x 1,,2 3 4", "m=\"\""}, BadCase{"EmptyList", "x , 3 4", "m=\"\""},
        BadCase{"UnknownSetting", "x 1 2 3 colour=red", "unknown setting \"colour=red\""},
        BadCase{"Flag", "x 1 2 3 fast", "unknown setting"}, BadCase{"Twice", "x 1 2 3 beta=1 beta=2", "twice"},
        BadCase{"Dtype", "x 1 2 3 dtype=f33", "unknown dtype \"f33\""},
        BadCase{"DtypeCount", "x 1 2 3 dtype=f32,f32", "a,b,d"},
        BadCase{"DtypeMix", "x 1 2 3 dtype=f64,f32,f32", "cannot be multiplied"},
        BadCase{"DtypeEscape", "x 1 2 3 dtype=\x1b[2J", "dtype=\"?[2J\" is not known"},
        BadCase{"Compute", "x 1 2 3 compute=tf31", "unknown compute mode"},
        BadCase{"ComputeType", "x 1 2 3 dtype=bf16 compute=tf32", "compute mode tf32 is for f32 by f32"},
        BadCase{"ComputeEscape", "x 1 2 3 compute=\x1b[2J", "compute=\"?[2J\" is not known"},
        BadCase{"Layout", "x 1 2 3 layout=nx", "unknown layout"}, BadCase{"Batch", "x 1 2 3 batch=0", "batch=\"0\""},
        BadCase{"Beta", "x 1 2 3 beta=nan", "beta=\"nan\""}, BadCase{"BetaWord", "x 1 2 3 beta=1x", "beta=\"1x\""},
        BadCase{"Escape", "x\x1b[31m 1 2 3", "the name \"x?[31m\""},
        BadCase{"Zero", std::string("x\0y 1 2 3", 9), "the name \"x?y\""},
        BadCase{"LongName", std::string(5000, 'x') + " 1 2 3", "at most 80"},
        BadCase{"Utf8", "\xef\xbb\xbfx 1 2 3", "the name"}),
    [](const auto& info) { return info.param.name; });

TEST(Shapes, ALongListOfListsIsRefusedBeforeItFillsMemory) {
  std::string list = "1";
  for (int i = 0; i < 9999; ++i) list += ",1";
  EXPECT_THROW(ParseShapes("x " + list + " " + list + " " + list, "t"), Error);
}

TEST(Shapes, MutatedFilesAreReadOrRefusedWithTheirLine) {
  std::mt19937 random(std::random_device{}());
  const std::string good = "a 1,2 3 4 layout=nt dtype=bf16 batch=2 beta=1 # c\nllama 16 6144 4096\n";
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = good;
    for (unsigned i = 0; i < 1 + random() % 4; ++i) text[random() % text.size()] = static_cast<char>(random());
    try {
      for (const NamedProblem& shape : ParseShapes(text, "t")) Validate(shape.problem);
    } catch (const Error& error) {
      ASSERT_THAT(error.message(), testing::AnyOf(StartsWith("t:1: "), StartsWith("t:2: "), StartsWith("t:3: ")))
          << text;
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(Shapes, BuiltinListsAreTheFilesOfTheSourceTree) {
  EXPECT_THAT(BuiltinShapes(), ElementsAre("deepseek-v3", "llama-3-8b"));
  for (const auto& [name, layers] : {std::pair{"deepseek-v3", 7u}, std::pair{"llama-3-8b", 4u}}) {
    const auto shapes = ReadShapes(name);
    EXPECT_EQ(shapes.size(), layers * 5);
    EXPECT_EQ(Texts(shapes), Texts(ReadShapes(std::string(GEMMSMITH_SOURCE_DIR "/bench/shapes/") + name + ".shapes")));
  }
}

TEST(Shapes, AFileThatCannotBeReadIsAnErrorThatNamesIt) {
  for (const std::string path : {"/nonexistent/x.shapes", "/", ""}) {
    try {
      ReadShapes(path);
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kIo);
      EXPECT_THAT(error.what(), HasSubstr("\"" + path + "\""));
      EXPECT_THAT(error.remedy(), HasSubstr("deepseek-v3"));
    }
  }
}

TEST(Shapes, AnEndlessFileIsRefused) { EXPECT_THROW(ReadShapes("/dev/zero"), Error); }

}  // namespace
}  // namespace gemmsmith
