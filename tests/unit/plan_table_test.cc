#include "engine/plan_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

namespace {
thread_local std::size_t allocations = 0;
}
// Not inlined: GCC would take malloc and free in place of new and delete for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* pointer = std::malloc(bytes)) return pointer;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* pointer) noexcept { std::free(pointer); }
[[gnu::noinline]] void operator delete(void* pointer, std::size_t) noexcept { std::free(pointer); }

namespace gemmsmith {
namespace {

std::unique_ptr<const Plan> PlanFor(std::int64_t m, DeviceId device = {}) {
  auto plan = std::make_unique<Plan>();
  plan->problem = MakeProblem(m, 8, 8);
  plan->device = device;
  return plan;
}

/// Notes the streams that it is launched on.
struct Recorder final : Kernel {
  const std::string& name() const override { return name_; }
  const KernelResources& resources() const override { return resources_; }
  void Launch(Dim3, Dim3, Dim3, std::uint32_t, std::span<void* const>, Stream stream) const override {
    streams.push_back(stream);
  }

  mutable std::vector<Stream> streams;
  std::string name_ = "recorder";
  KernelResources resources_;
};

TEST(LaunchSteps, OverlapsOnlyKernelsThatWaitByThemselves) {
  Devices devices;
  const auto kernel = std::make_shared<const Recorder>();
  Plan plan;
  plan.there = &devices.Get({});
  for (const bool waits : {true, false}) {
    LaunchStep step;
    step.bind = [](const GemmArgs&, std::byte*) {};
    step.waits = waits;
    plan.steps.push_back({step, kernel});
  }
  int queue = 0;
  for (const bool overlap : {false, true}) LaunchSteps(plan, {}, {&queue, overlap}, nullptr);
  ASSERT_EQ(kernel->streams.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(kernel->streams[i].handle, &queue);
    EXPECT_EQ(kernel->streams[i].overlap, i == 2) << i;
  }
}

TEST(PlanTable, FindsWhatWasInsertedThroughManyGrowths) {
  PlanTable table;
  for (std::int64_t m = 1; m <= 1000; ++m) {
    EXPECT_EQ(table.Find(MakeProblem(m, 8, 8), {}), nullptr);
    table.Insert(PlanFor(m));
  }
  for (std::int64_t m = 1; m <= 1000; ++m) {
    const Plan* plan = table.Find(MakeProblem(m, 8, 8), {});
    ASSERT_NE(plan, nullptr);
    EXPECT_EQ(plan->problem.m, m);
    EXPECT_EQ(table.Find(MakeProblem(m, 8, 8), {DeviceKind::kCuda, 0}), nullptr);
  }
}

TEST(PlanTable, TheFirstPlanOfAProblemStays) {
  PlanTable table;
  const Plan* first = table.Insert(PlanFor(5));
  EXPECT_EQ(table.Insert(PlanFor(5)), first);
}

TEST(PlanTable, ALookupAllocatesNothing) {
  PlanTable table;
  table.Insert(PlanFor(5));
  const GemmProblem problem = MakeProblem(5, 8, 8);
  const std::size_t before = allocations;
  EXPECT_NE(table.Find(problem, {}), nullptr);
  EXPECT_EQ(allocations, before);
}

TEST(PlanTable, ReadersGoOnWhileItGrows) {
  PlanTable table;
  table.Insert(PlanFor(1));
  std::atomic<bool> stop{false};
  std::atomic<int> lost{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t)
    readers.emplace_back([&] {
      const GemmProblem problem = MakeProblem(1, 8, 8);
      while (!stop)
        if (table.Find(problem, {}) == nullptr) ++lost;
    });
  for (std::int64_t m = 2; m < 3000; ++m) table.Insert(PlanFor(m));
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(lost, 0);
}

}  // namespace
}  // namespace gemmsmith
