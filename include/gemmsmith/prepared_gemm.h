#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "gemmsmith/args.h"
#include "gemmsmith/export.h"
#include "gemmsmith/problem.h"
#include "gemmsmith/stream.h"

namespace gemmsmith {

class Engine;
class SmallGemm;
struct Plan;

/// A call that is checked, planned and compiled: what remains of it is pointers and the launch. For loops over small
/// products, where looking the plan up takes as long as the product. Made by Engine::Prepare, and usable as long as
/// that engine. Thread-safe.
class GEMMSMITH_API PreparedGemm {
 public:
  /// The call as it was prepared.
  void Run(Stream stream = {}) const;
  /// With other matrices of the same shapes, strides, types and device; all else (alpha, beta, scales, groups, what the
  /// epilogue reads and makes) as it was prepared. `c`: null for D itself. Throws kInvalidArgument, with nothing
  /// launched, for a null pointer, one that is less aligned than the ones prepared with, and a D that overlaps A, B or
  /// part of C.
  void Run(const void* a, const void* b, const void* c, void* d, Stream stream = {}) const;

  const GemmProblem& problem() const { return problem_; }

 private:
  friend class Engine;
  PreparedGemm(Engine& engine, const GemmProblem& problem, const GemmArgs& args, const Plan& plan);
  void CheckAgain(const GemmArgs& args) const;

  Engine* engine_;
  const Plan* plan_;
  GemmProblem problem_;
  std::shared_ptr<const EpilogueArgs> epilogue_;
  std::shared_ptr<const ScaleArgs> scales_;
  std::shared_ptr<const GroupArgs> groups_;
  GemmArgs args_;
  std::uintptr_t misaligned_ = 0;           ///< Bits that no pointer may have.
  std::array<std::size_t, 4> bytes_{};      ///< From the first to past the last element of a, b, c, d.
  std::shared_ptr<const SmallGemm> small_;  ///< The call as it was prepared, on a CPU, if it takes next to no time.
};

}  // namespace gemmsmith
