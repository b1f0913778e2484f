#include "select/simt_terms.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/family.h"

namespace gemmsmith {

const KernelFamily& SimtFamily();

namespace {

const GemmProblem kProblem = MakeProblem(4096, 4096, 4096);

/// 128 x 128 sums of 16 x 16 threads.
SimtKernel Plain() {
  SimtKernel kernel;
  for (SimtOperand* operand : {&kernel.a, &kernel.b}) {
    operand->block_lines = 128;
    operand->thread_lines = 8;
    operand->lane_parts = 16;
    operand->read_vector = operand->copy_vector = operand->copy_lines = 4;
  }
  kernel.b.lane_divisor = 16;
  kernel.threads = 256;
  kernel.tile_steps = 32;
  kernel.unrolled = 2;
  return kernel;
}

double Term(const SimtTime& time, std::string_view name) {
  for (const CostTerm& term : time.Terms())
    if (term.name == name) return term.microseconds;
  ADD_FAILURE() << name;
  return 0;
}

double PeakMicroseconds(const GemmProblem& problem, const DeviceSpec& spec) {
  return problem.flops() / (spec.PeakGflops(problem.acc_type) * 1e3);
}

TEST(SimtTerms, AddUpAndAreNoFasterThanTheFmaUnits) {
  for (const DeviceSpec& spec : AllDeviceSpecs())
    for (const bool staged : {false, true})
      for (const int lines : {1, 2, 4, 8, 16})
        for (const std::int64_t m : {1, 100, 5000}) {
          SimtKernel kernel = Plain();
          kernel.a.staged = staged;
          kernel.a.thread_lines = lines;
          kernel.a.block_lines = 16 * lines;
          kernel.a.copy_lines = kernel.a.read_vector = kernel.a.copy_vector = std::min(4, lines);
          const GemmProblem problem = MakeProblem(m, 4096, 1000);
          const SimtTime time = PredictSimt(kernel, problem, spec);
          double longest = 0, on_top = 0;
          for (const CostTerm& term : time.Terms()) {
            EXPECT_GE(term.microseconds, 0) << term.name;
            const bool adds = term.name == "overlap" || term.name == "latency" || term.name == "tail";
            (adds ? on_top : longest) = adds ? on_top + term.microseconds : std::max(longest, term.microseconds);
          }
          EXPECT_NEAR(time.microseconds, longest + on_top, 1e-9 * time.microseconds);
          EXPECT_GE(time.microseconds, PeakMicroseconds(problem, spec));
        }
}

TEST(SimtTerms, BankConflictsAreThoseOfTheLanesAddresses) {
  const DeviceSpec& spec = FindDeviceSpec("rtx3090");
  struct Case {
    int lines, vector, parts;
    double conflicts;  // of a warp and a step of k
  };
  for (const Case& c : {Case{1, 1, 32, 0}, Case{2, 1, 32, 2}, Case{2, 2, 32, 0}, Case{4, 4, 32, 0}, Case{4, 1, 32, 12},
                        Case{8, 4, 32, 8}, Case{8, 4, 16, 8}, Case{8, 4, 4, 0}, Case{8, 1, 4, 0}, Case{16, 4, 8, 48},
                        Case{32, 1, 32, 992}}) {
    SimtKernel kernel = Plain();
    kernel.a.thread_lines = c.lines;
    kernel.a.read_vector = c.vector;
    kernel.a.lane_parts = c.parts;
    kernel.b.thread_lines = 1;
    kernel.b.lane_divisor = 32;
    const double us = Term(PredictSimt(kernel, kProblem, spec), "load") -
                      Term(PredictSimt(kernel, kProblem, spec, {}, SimtPart::kConflicts), "load");
    const double blocks = 32.0 * 32 / spec.multiprocessors, clocks_per_us = spec.clock_ghz * 1e3;
    EXPECT_NEAR(us * clocks_per_us / (blocks * 4096 * 8), c.conflicts, 1e-6)
        << c.lines << " lines by " << c.vector << ", " << c.parts << " parts";
  }
}

TEST(SimtTerms, RegistersAndSharedMemoryLimitTheBlocksOfAnSm) {
  SimtKernel kernel = Plain();
  EXPECT_EQ(PredictSimt(kernel, kProblem, FindDeviceSpec("rtx2080ti")).registers, 96);
  EXPECT_EQ(PredictSimt(kernel, kProblem, FindDeviceSpec("rtx2080ti")).blocks_per_sm, 2);  // 64 KiB, 32 each
  EXPECT_EQ(PredictSimt(kernel, kProblem, FindDeviceSpec("a100")).blocks_per_sm, 2);       // 65,536 registers
  kernel.a.staged = kernel.b.staged = false;
  kernel.a.thread_lines = 1;
  kernel.a.block_lines = 16;
  EXPECT_EQ(PredictSimt(kernel, kProblem, FindDeviceSpec("rtx2080ti")).blocks_per_sm, 4);  // 32 warps, 8 each
  EXPECT_EQ(PredictSimt(kernel, kProblem, FindDeviceSpec("rtx3090")).blocks_per_sm, 6);    // 48 warps
  kernel.a.thread_lines = 32;
  EXPECT_EQ(PredictSimt(kernel, kProblem, FindDeviceSpec("a100")).registers, 255);
  EXPECT_GT(PredictSimt(kernel, kProblem, FindDeviceSpec("a100")).microseconds,
            PredictSimt(kernel, kProblem, FindDeviceSpec("a100"), {}, SimtPart::kSpills).microseconds);
}

TEST(SimtTerms, DescribeTheFamilysKernelsWhoseReadsHaveNoConflicts) {
  const DeviceSpec& spec = FindDeviceSpec("h200");
  for (const char* layout : {"nn", "nt", "tn", "tt"}) {
    const GemmProblem problem = MakeProblem(1000, 1000, 1000, DType::kF32, layout);
    for (const TileConfig& config : SimtFamily().Candidates(problem, spec.target, spec)) {
      const TileShape shape = SimtFamily().Shape(problem, config, spec);
      ASSERT_TRUE(shape.simt.has_value());
      EXPECT_EQ(shape.simt->threads, shape.threads);
      EXPECT_EQ(shape.simt->a.thread_lines, shape.micro_m);
      const SimtTime time = PredictSimt(*shape.simt, problem, spec);
      EXPECT_GE(time.microseconds, PeakMicroseconds(problem, spec)) << ToString(config);
      EXPECT_EQ(time.microseconds, PredictSimt(*shape.simt, problem, spec, {}, SimtPart::kConflicts).microseconds)
          << ToString(config);
    }
  }
}

}  // namespace
}  // namespace gemmsmith
