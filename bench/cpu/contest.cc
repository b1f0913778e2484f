#include "contest.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <ctime>
#include <limits>
#include <random>
#include <thread>

namespace gemmsmith::bench {
namespace {

/// What one thread does alone is timed by its own clock, which stands while others have its core.
double Now(int threads) {
  timespec time;
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double Seconds(const std::function<void()>& call, int calls, int threads) {
  const double start = Now(threads);
  for (int i = 0; i < calls; ++i) call();
  return (Now(threads) - start) / calls;
}

double Quantile(std::vector<double> values, double share) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size()));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// Element (row, column) of D as float64 arithmetic gives it, and the sum of the magnitudes of its terms.
struct Reference {
  double value = 0, magnitude = 0;
  Reference(const Case& c, const Operands& x, std::int64_t row, std::int64_t column) {
    for (std::int64_t i = 0; i < c.k; ++i) {
      const double a = Decode(c.a_type, x.a, row * c.k + i);
      const double b = Decode(c.b_type, x.b, c.b_transposed ? column * c.k + i : i * c.n + column);
      value += a * b;
      magnitude += std::abs(a * b);
    }
    if (c.epilogue.empty()) return;
    EpilogueElement element;
    element.accumulator = static_cast<float>(value);
    element.bias = x.bias[column];
    value = Epilogue::Parse(c.epilogue).Evaluate(element).d;
  }
};

/// Whether 64 random elements of D are right. Peers' activations may be approximate.
std::string WrongElement(const Case& c, const Operands& x) {
  std::minstd_rand random(7);
  const double acc_epsilon = Info(c.a_type == DType::kF64 ? DType::kF64 : DType::kF32).epsilon;
  for (int i = 0; i < 64; ++i) {
    const std::int64_t row = random() % c.m, column = random() % c.n;
    const Reference want(c, x, row, column);
    const double got = Decode(c.d_type, x.d, row * c.n + column);
    const double tolerance = (static_cast<double>(c.k) + 8) * acc_epsilon * want.magnitude +
                             Info(c.d_type).epsilon * std::abs(want.value) + (c.epilogue.empty() ? 0 : 1e-4);
    if (!(std::abs(got - want.value) <= tolerance))
      return "wrong: D(" + std::to_string(row) + ", " + std::to_string(column) + ") is " + std::to_string(got) +
             ", should be " + std::to_string(want.value);
  }
  return {};
}

/// Runs it once and looks at what it made.
void Check(const Case& c, const Operands& operands, Contestant& contestant) {
  std::memset(operands.d, 0xff, static_cast<std::size_t>(c.m * c.n) * SizeOf(c.d_type));
  try {
    contestant.run();
    if (contestant.checked) contestant.why = WrongElement(c, operands);
  } catch (const std::exception& e) {
    contestant.why = e.what();
  }
  if (!contestant.why.empty()) contestant.run = nullptr;
}

/// Of one sample, which lasts about a millisecond, or one call.
struct Calls {
  /// Not counted: they find the caches of whoever came before, and threads asleep.
  int before;
  int counted;
};

/// A long call is the first sample itself.
Calls CallsPerSample(Contestant& c, int threads) {
  constexpr double kLong = 0.01;  // seconds: what it finds is a hundredth of it.
  double once = Seconds(c.run, 1, threads);
  if (once < 1e-4) once = Seconds(c.run, static_cast<int>(std::clamp(1e-4 / std::max(once, 1e-8), 1.0, 1e4)), threads);
  const int calls = static_cast<int>(std::clamp(1e-3 / std::max(once, 1e-9), 1.0, 1e5));
  if (calls > 1) return {1 + calls / 10, calls};
  c.seconds.push_back(once);
  return {once < kLong ? 1 : 0, 1};
}

/// A peer that takes three times as long as the fastest is out; what is short may have been disturbed, and gets two
/// samples.
bool IsOut(const Contestant& c, double fastest) {
  constexpr double kLong = 0.02;  // seconds
  if (c.role != Role::kPeer || c.seconds.empty()) return false;
  const double own = Quantile(c.seconds, 0);
  return own > 3 * fastest && (own > kLong || c.seconds.size() >= 2);
}

/// Longer than threads of those who had their turn wait for more work, spinning, on the cores that the next one needs:
/// see SetEnvironment.
constexpr std::chrono::microseconds kSettling{500};

void TakeSamples(std::vector<Contestant*>& contestants, int threads, const Effort& effort) {
  std::vector<Calls> calls;
  double fastest = std::numeric_limits<double>::infinity();
  const auto note = [&fastest](const Contestant& c) {
    if (c.role != Role::kLimit && !c.seconds.empty()) fastest = std::min(fastest, c.seconds.back());
  };
  for (Contestant* c : contestants) {
    calls.push_back(CallsPerSample(*c, threads));
    note(*c);
  }
  const double begin = Now(2);
  for (int round = 0; round < effort.max_rounds; ++round) {
    if (round >= effort.min_rounds && Now(2) - begin > effort.row_seconds) break;
    for (std::size_t i = 0; i < contestants.size(); ++i) {
      Contestant& c = *contestants[i];
      if (IsOut(c, fastest)) continue;
      if (threads > 1) std::this_thread::sleep_for(kSettling);
      for (int call = 0; call < calls[i].before; ++call) c.run();
      c.seconds.push_back(Seconds(c.run, calls[i].counted, threads));
      note(c);
    }
  }
}

const char* ToString(Role role) { return role == Role::kOurs ? "ours" : role == Role::kPeer ? "peer" : "limit"; }

}  // namespace

std::string ToString(const Case& c) {
  std::string text(ToString(c.a_type));
  if (c.b_type != c.a_type) text += "," + std::string(ToString(c.b_type));
  if (c.d_type != c.a_type) text += "," + std::string(ToString(c.d_type));
  text += (c.b_transposed ? " nt " : " nn ") + std::to_string(c.m) + "x" + std::to_string(c.n) + "x" +
          std::to_string(c.k) + (c.packed ? " packed" : "");
  return c.epilogue.empty() ? text : text + " " + c.epilogue;
}

OperandPool::OperandPool(const std::vector<Case>& cases) {
  std::int64_t a = 1, b = 1, d = 1, bias = 1;
  for (const Case& c : cases) {
    a = std::max<std::int64_t>(a, c.m * c.k * std::int64_t(SizeOf(c.a_type)));
    b = std::max<std::int64_t>(b, c.n * c.k * std::int64_t(SizeOf(c.b_type)));
    d = std::max<std::int64_t>(d, c.m * c.n * std::int64_t(SizeOf(c.d_type)));
    bias = std::max(bias, c.n);
  }
  a_ = Allocate(static_cast<std::size_t>(a));
  b_ = Allocate(static_cast<std::size_t>(b));
  d_ = Allocate(static_cast<std::size_t>(d));
  bias_.resize(static_cast<std::size_t>(bias));
  FillRandom(Tensor(bias_.data(), {bias}), 3);
  std::memset(d_.get(), 0, static_cast<std::size_t>(d));
  // A million random elements over and over, of a period that fits no shape.
  const auto fill = [](void* to, std::int64_t bytes, DType type, std::uint64_t seed) {
    const std::int64_t period = std::min<std::int64_t>(1'000'003, bytes / std::int64_t(SizeOf(type)));
    FillRandom(Tensor(to, type, {period}), seed);
    const std::int64_t chunk = period * std::int64_t(SizeOf(type));
    for (std::int64_t at = chunk; at < bytes; at += chunk)
      std::memcpy(static_cast<char*>(to) + at, to, static_cast<std::size_t>(std::min(chunk, bytes - at)));
  };
  fill(a_.get(), a, cases.front().a_type, 1);
  fill(b_.get(), b, cases.front().b_type, 2);
}

OperandPool::Memory OperandPool::Allocate(std::size_t bytes) {
  constexpr std::size_t kPage = 4096;
  void* const memory = std::aligned_alloc(kPage, (bytes + kPage - 1) / kPage * kPage);
  if (memory == nullptr) throw std::bad_alloc();
  return Memory(memory);
}

Operands OperandPool::For(const Case&) const { return {a_.get(), b_.get(), bias_.data(), d_.get()}; }

nlohmann::json Compete(const Case& c, const Operands& operands, std::vector<Contestant> contestants, int threads,
                       const Effort& effort) {
  std::vector<Contestant*> running;
  for (Contestant& contestant : contestants) {
    if (contestant.run && contestant.role != Role::kLimit) Check(c, operands, contestant);
    if (contestant.run) running.push_back(&contestant);
  }
  TakeSamples(running, threads, effort);
  nlohmann::json results = nlohmann::json::array();
  for (const Contestant& contestant : contestants) {
    nlohmann::json result = {{"name", contestant.name}, {"role", ToString(contestant.role)}};
    if (contestant.run) {
      // A neighbour only ever adds to a time. A limit is the most that was ever seen.
      result["seconds"] = Quantile(contestant.seconds, contestant.role == Role::kLimit ? 0 : 0.25);
      result["median"] = Quantile(contestant.seconds, 0.5);
    }
    if (!contestant.why.empty()) result["why"] = contestant.why;
    if (contestant.work > 0) result["work"] = contestant.work;
    results.push_back(result);
  }
  return {{"set", c.set},
          {"case", ToString(c)},
          {"m", c.m},
          {"n", c.n},
          {"k", c.k},
          {"layout", c.b_transposed ? "nt" : "nn"},
          {"packed", c.packed},
          {"types", {ToString(c.a_type), ToString(c.b_type), ToString(c.d_type)}},
          {"epilogue", c.epilogue},
          {"threads", threads},
          {"flops", c.flops()},
          {"b_bytes", c.b_bytes()},
          {"rounds", running.empty() ? 0 : running.back()->seconds.size()},
          {"results", results}};
}

}  // namespace gemmsmith::bench
