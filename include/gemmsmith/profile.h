#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/export.h"

namespace gemmsmith {

/// Times of one stage of one kernel ("select", "render", "lookup", "compile", "load", "launch"), or of all kernels
/// where `kernel` is empty.
struct StageTime {
  std::string stage, kernel;
  std::uint64_t count = 0;
  double total_ms = 0, max_ms = 0;
};

/// Opt-in stop watches around each stage from plan to launch. Thread-safe; off, a stage costs one relaxed load.
class GEMMSMITH_API Profiler {
 public:
  using Clock = std::chrono::steady_clock;
  Profiler();
  ~Profiler();

  void Enable(bool on) { enabled_.store(on, std::memory_order_relaxed); }
  bool enabled() const { return enabled_.load(std::memory_order_relaxed); }
  void Record(std::string_view stage, std::string_view kernel, Clock::time_point begin, Clock::time_point end);
  /// Totals per stage (kernel empty), then per stage and kernel.
  std::vector<StageTime> Times() const;
  /// Writes all recorded spans as a trace-event JSON document (at most the last million). Throws kIo.
  void WriteTrace(const std::string& path) const;
  void Clear();

  /// Times its own life.
  class Span {
   public:
    Span(Profiler& profiler, std::string_view stage, std::string_view kernel = {})
        : profiler_(profiler.enabled() ? &profiler : nullptr), stage_(stage), kernel_(kernel) {
      if (profiler_ != nullptr) begin_ = Clock::now();
    }
    ~Span() {
      if (profiler_ != nullptr) profiler_->Record(stage_, kernel_, begin_, Clock::now());
    }
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;

   private:
    Profiler* profiler_;
    std::string_view stage_, kernel_;
    Clock::time_point begin_;
  };

 private:
  struct State;
  std::atomic<bool> enabled_{false};
  std::unique_ptr<State> state_;
};

}  // namespace gemmsmith
