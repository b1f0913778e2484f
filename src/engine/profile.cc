#include "gemmsmith/profile.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <tuple>

#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::size_t kMaxSpans = 1'000'000;

struct RecordedSpan {
  std::string stage, kernel;
  double begin_us, length_us;
  long thread;
};

}  // namespace

struct Profiler::State {
  mutable std::mutex mutex;
  Clock::time_point start = Clock::now();
  std::vector<RecordedSpan> spans;  // a ring once it is full
  std::size_t next = 0;
  std::map<std::pair<std::string, std::string>, StageTime> times;
};

Profiler::Profiler() : state_(std::make_unique<State>()) {}
Profiler::~Profiler() = default;

void Profiler::Record(std::string_view stage, std::string_view kernel, Clock::time_point begin, Clock::time_point end) {
  using Micro = std::chrono::duration<double, std::micro>;
  RecordedSpan span{std::string(stage), std::string(kernel), 0, Micro(end - begin).count(), ::syscall(SYS_gettid)};
  std::scoped_lock lock(state_->mutex);
  span.begin_us = Micro(begin - state_->start).count();
  for (const std::string& name : {std::string(), span.kernel}) {
    StageTime& time = state_->times[{span.stage, name}];
    time.stage = span.stage, time.kernel = name;
    ++time.count;
    time.total_ms += span.length_us / 1e3;
    time.max_ms = std::max(time.max_ms, span.length_us / 1e3);
    if (span.kernel.empty()) break;
  }
  if (state_->spans.size() < kMaxSpans) {
    state_->spans.push_back(std::move(span));
  } else {
    state_->spans[state_->next++ % kMaxSpans] = std::move(span);
  }
}

std::vector<StageTime> Profiler::Times() const {
  std::scoped_lock lock(state_->mutex);
  std::vector<StageTime> times;
  for (const auto& [key, time] : state_->times) times.push_back(time);
  std::stable_sort(times.begin(), times.end(), [](const StageTime& x, const StageTime& y) {
    return std::tuple(!x.kernel.empty(), -x.total_ms) < std::tuple(!y.kernel.empty(), -y.total_ms);
  });
  return times;
}

void Profiler::WriteTrace(const std::string& path) const {
  nlohmann::json events = nlohmann::json::array();
  {
    std::scoped_lock lock(state_->mutex);
    for (const RecordedSpan& span : state_->spans)
      events.push_back({{"name", span.kernel.empty() ? span.stage : span.stage + ": " + span.kernel},
                        {"cat", span.stage},
                        {"ph", "X"},
                        {"ts", span.begin_us},
                        {"dur", span.length_us},
                        {"pid", ::getpid()},
                        {"tid", span.thread}});
  }
  std::ofstream file(path);
  file << nlohmann::json{{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}} << '\n';
  file.close();
  if (!file) throw Fail(Code::kIo, "name a file that can be written", "trace: cannot write \"{}\"", path);
}

void Profiler::Clear() {
  std::scoped_lock lock(state_->mutex);
  state_->spans.clear();
  state_->times.clear();
  state_->next = 0;
}

}  // namespace gemmsmith
