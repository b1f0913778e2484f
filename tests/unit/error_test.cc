#include "gemmsmith/error.h"

#include <gtest/gtest.h>

#include <vector>

#include "util/log.h"

namespace gemmsmith {
namespace {

TEST(Errors, SayMessageThenRemedy) {
  const Error error = Fail(Code::kUnsupported, "pad A and B", "gemm: k={} must be a multiple of {}", 100, 16);
  EXPECT_STREQ(error.what(), "gemm: k=100 must be a multiple of 16; pad A and B");
  EXPECT_EQ(error.remedy(), "pad A and B");
  EXPECT_EQ(error.code(), Code::kUnsupported);
}

TEST(Errors, ACompileErrorKeepsTheWholeLogButShowsItsHead) {
  const std::string log(100'000, 'x');
  const CompileError error("nvrtc: failed", log, "/tmp/k.cu");
  EXPECT_EQ(error.log(), log);
  EXPECT_LT(std::string(error.what()).size(), 3000u);
  EXPECT_NE(std::string(error.what()).find("/tmp/k.cu"), std::string::npos);
}

TEST(Errors, WarningsGoToTheHandler) {
  std::vector<std::pair<Severity, std::string>> seen;
  SetErrorHandler([&](Severity severity, std::string_view message) { seen.emplace_back(severity, message); });
  Warn("cache: {} is full", "/x");
  SetErrorHandler({});
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0], (std::pair<Severity, std::string>(Severity::kWarning, "cache: /x is full")));
}

TEST(ErrorsDeathTest, FatalConditionsReachTheHandlerAndStop) {
  EXPECT_DEATH(
      {
        SetErrorHandler([](Severity severity, std::string_view message) {
          if (severity == Severity::kFatal) fmt::print(stderr, "handled: {}\n", message);
        });
        ReportFatal("the end");
      },
      "handled: the end");
}

}  // namespace
}  // namespace gemmsmith
