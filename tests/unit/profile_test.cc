#include "gemmsmith/profile.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

TEST(Profiler, RecordsNothingUntilEnabled) {
  Profiler profiler;
  { const Profiler::Span span(profiler, "compile", "k"); }
  EXPECT_TRUE(profiler.Times().empty());
}

TEST(Profiler, TotalsPerStageAndPerKernelFromManyThreads) {
  Profiler profiler;
  profiler.Enable(true);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) const Profiler::Span span(profiler, "compile", t % 2 == 0 ? "even" : "odd");
    });
  for (std::thread& thread : threads) thread.join();
  const std::vector<StageTime> times = profiler.Times();
  ASSERT_EQ(times.size(), 3u);
  EXPECT_EQ(times[0].kernel, "");
  EXPECT_EQ(times[0].count, 400u);
  EXPECT_EQ(times[1].count, 200u);
  EXPECT_EQ(times[2].count, 200u);
}

TEST(Profiler, TheTraceIsAListOfCompleteEvents) {
  Profiler profiler;
  profiler.Enable(true);
  const auto begin = Profiler::Clock::now();
  profiler.Record("load", "a \"quoted\" name", begin, begin + std::chrono::microseconds(250));
  const auto path =
      std::filesystem::temp_directory_path() / ("gemmsmith-trace-" + std::to_string(::getpid()) + ".json");
  profiler.WriteTrace(path);
  const auto trace = nlohmann::json::parse(std::ifstream(path));
  std::filesystem::remove(path);
  ASSERT_EQ(trace["traceEvents"].size(), 1u);
  EXPECT_EQ(trace["traceEvents"][0]["ph"], "X");
  EXPECT_NEAR(trace["traceEvents"][0]["dur"].get<double>(), 250, 0.1);
  EXPECT_THROW(profiler.WriteTrace("/nonexistent/folder/trace.json"), Error);
}

}  // namespace
}  // namespace gemmsmith
