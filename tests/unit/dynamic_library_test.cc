#include "util/dynamic_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr char kMath[] = "libm.so.6";

TEST(DynamicLibrary, FindsFunctionsThatCanBeCalled) {
  const DynamicLibrary library(kMath);
  double (*cosine)(double) = nullptr;
  library.Bind(cosine, "cos");
  EXPECT_EQ(cosine(0), 1);
}

TEST(DynamicLibrary, SaysWhereItWasLoadedFrom) {
  const DynamicLibrary library(kMath);
  EXPECT_TRUE(std::filesystem::path(library.path()).is_absolute());
  EXPECT_TRUE(std::filesystem::is_regular_file(library.path()));
}

TEST(DynamicLibrary, TellsTheBuildApart) {
  const std::string math = DynamicLibrary(kMath).BuildId(), c = DynamicLibrary("libc.so.6").BuildId();
  EXPECT_THAT(math, MatchesRegex("[0-9a-f]+"));
  EXPECT_NE(math, c);
  EXPECT_EQ(math, DynamicLibrary(kMath).BuildId());
}

TEST(DynamicLibrary, ThrowsNotFoundWithTheNameForWhatIsNotThere) {
  const auto message = [](auto action) -> std::string {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kNotFound);
      return error.what();
    }
    return "nothing thrown";
  };
  EXPECT_THAT(message([] { DynamicLibrary library("/nonexistent/libfoo.so"); }), HasSubstr("/nonexistent/libfoo.so"));
  const DynamicLibrary library(kMath);
  EXPECT_EQ(library.Find("no_such_function"), nullptr);
  EXPECT_THAT(message([&] { library.Require("no_such_function"); }), HasSubstr("no_such_function"));
}

TEST(DynamicLibrary, MovesItsHandle) {
  DynamicLibrary library(kMath);
  DynamicLibrary moved(std::move(library));
  EXPECT_TRUE(moved);
  EXPECT_FALSE(library);
  EXPECT_EQ(library.Find("cos"), nullptr);
  library = std::move(moved);
  EXPECT_TRUE(library);
  EXPECT_NE(library.Find("cos"), nullptr);
}

}  // namespace
}  // namespace gemmsmith
