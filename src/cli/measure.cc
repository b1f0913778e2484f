#include "cli/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "cli/epilogue_operands.h"
#include "cli/group_operands.h"
#include "cli/scale_operands.h"

namespace gemmsmith::cli {
namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// What Device::Allocate aligns to: each operand begins as if it were allocated alone.
constexpr std::size_t kAlignment = 256;

std::size_t DenseBytes(DType dtype, std::int64_t batch, std::int64_t rows, std::int64_t columns) {
  const std::size_t bytes = static_cast<std::size_t>(batch * rows * columns) * SizeOf(dtype);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

/// Bytes that the inputs of `p` take in the pool of each dtype.
std::map<DType, std::size_t> InputBytes(const GemmProblem& p) {
  std::map<DType, std::size_t> bytes;
  bytes[p.a_type] += DenseBytes(p.a_type, p.entries_a(), p.m, p.k);
  bytes[p.b_type] += DenseBytes(p.b_type, p.entries_b(), p.k, p.n);
  if (p.beta != BetaClass::kZero) bytes[p.c_type] += DenseBytes(p.c_type, p.entries_d(), p.m, p.n);
  return bytes;
}

/// How many matrices of a problem follow each other, and whether they are a tensor of rank 3.
struct Entries {
  std::int64_t count;
  bool rank_3;
};
Entries EntriesOf(const GemmProblem& p, std::int64_t count, bool for_groups) {
  return {count, p.grouping == Grouping::kNone ? p.batch != 1 : for_groups};
}
Entries EntriesOfA(const GemmProblem& p) { return EntriesOf(p, p.entries_a(), p.grouping == Grouping::kMasked); }
Entries EntriesOfB(const GemmProblem& p) { return EntriesOf(p, p.entries_b(), p.grouping != Grouping::kAlongK); }
Entries EntriesOfD(const GemmProblem& p) {
  return EntriesOf(p, p.entries_d(), p.grouping == Grouping::kMasked || p.grouping == Grouping::kAlongK);
}

Tensor DenseTensor(void* data, DType dtype, const Entries& entries, std::int64_t rows, std::int64_t columns,
                   Layout layout, DeviceId device) {
  const bool transposed = layout == Layout::kColMajor;
  if (transposed) std::swap(rows, columns);
  const Tensor tensor = entries.rank_3 ? Tensor(data, dtype, {entries.count, rows, columns}, device)
                                       : Tensor(data, dtype, {rows, columns}, device);
  return transposed ? tensor.Transposed() : tensor;
}

}  // namespace

std::string Measurement::source() const {
  return plan.kernels.empty() ? "none" : std::string(ToString(plan.kernels.front().origin));
}

double Measurement::compile_ms() const {
  double sum = 0;
  for (const KernelReport& kernel : plan.kernels)
    if (kernel.origin == Origin::kCompiled) sum += kernel.compile_ms;
  return sum;
}

double Measurement::gflops() const { return median_ms > 0 ? shape.problem.flops() / median_ms / 1e6 : 0; }

std::string SizeText(const GemmProblem& p) {
  const std::string times = p.grouping != Grouping::kNone ? fmt::format("{}:{} ", ToString(p.grouping), p.groups)
                            : p.batch != 1                ? fmt::format("{}*", p.batch)
                                                          : "";
  return times + fmt::format("{}x{}x{}", p.m, p.n, p.k);
}

Json ToJson(const Measurement& m) {
  Json json = ToJson(m.shape.problem);
  if (!m.shape.name.empty()) json["name"] = m.shape.name;
  json["device"] = m.device;
  json["config"] = m.plan.kernels.empty() ? "" : ToString(m.plan.config);
  json["source"] = m.source();
  json["compile_ms"] = m.compile_ms();
  json["first_ms"] = m.first_ms;
  json["median_ms"] = m.median_ms;
  json["calls"] = m.calls;
  json["gflops"] = m.gflops();
  if (m.check) {
    json["max_error"] = m.check->max_error;
    json["tolerance"] = m.check->tolerance;
    json["checked"] = m.check->checked;
    json["ok"] = m.check->ok;
  }
  return json;
}

Workbench::Workbench(Engine& engine, DeviceId device, std::span<const NamedProblem> problems, std::uint64_t seed)
    : engine_(engine), device_(engine.devices().Get(device)), seed_(seed) {
  std::map<DType, std::size_t> input_bytes;
  std::size_t output_bytes = 0;
  for (const NamedProblem& shape : problems) {
    const GemmProblem& p = shape.problem;
    for (const auto& [dtype, bytes] : InputBytes(p)) input_bytes[dtype] = std::max(input_bytes[dtype], bytes);
    output_bytes = std::max(output_bytes, DenseBytes(p.d_type, p.entries_d(), p.m, p.d_columns()));
  }
  for (const auto& [dtype, bytes] : input_bytes) {
    DeviceMemory& pool = pools_[dtype] = DeviceMemory(engine, device, bytes);
    FillRandom(Tensor(pool.host(), dtype, {static_cast<std::int64_t>(bytes / SizeOf(dtype))}), seed);
    pool.ToDevice(bytes);
  }
  output_ = DeviceMemory(engine, device, output_bytes);
}

Workbench::Operands Workbench::Bind(const NamedProblem& shape, double alpha) const {
  const GemmProblem& p = shape.problem;
  Operands operands;
  for (GemmArgs* args : {&operands.device, &operands.host}) {
    const bool host = args == &operands.host;
    const DeviceId id = host ? DeviceId{} : device_.id();
    std::map<DType, std::size_t> used;
    const auto take = [&](DType dtype, const Entries& entries, std::int64_t rows, std::int64_t columns, Layout layout) {
      const DeviceMemory& pool = pools_.at(dtype);
      char* data = static_cast<char*>(host ? pool.host() : pool.device()) + used[dtype];
      used[dtype] += DenseBytes(dtype, entries.count, rows, columns);
      return DenseTensor(data, dtype, entries, rows, columns, layout, id);
    };
    args->a = take(p.a_type, EntriesOfA(p), p.m, p.k, p.a_layout);
    args->b = take(p.b_type, EntriesOfB(p), p.k, p.n, p.b_layout);
    if (p.beta != BetaClass::kZero) args->c = take(p.c_type, EntriesOfD(p), p.m, p.n, Layout::kRowMajor);
    args->d = DenseTensor(host ? output_.host() : output_.device(), p.d_type, EntriesOfD(p), p.m, p.d_columns(),
                          Layout::kRowMajor, id);
    args->alpha = alpha;
    args->beta = shape.beta;
  }
  return operands;
}

void Workbench::PoisonOutput(const Tensor& d) {
  Poison(d);
  output_.ToDevice(static_cast<std::size_t>(d.size()) * SizeOf(d.dtype));
}

VerifyReport Workbench::Check(const GemmProblem& problem, const GemmArgs& args) {
  output_.ToHost(static_cast<std::size_t>(args.d.size()) * SizeOf(args.d.dtype));
  return Verify(problem, args, args.c, seed_);
}

void Workbench::TimeCalls(const GemmProblem& problem, const GemmArgs& args, double seconds, Measurement& measurement) {
  constexpr std::size_t kLeast = 3, kMost = 10'000;
  const auto start = device_.CreateEvent(), stop = device_.CreateEvent();
  std::vector<double> times;
  const auto begin = Clock::now();
  // A few calls even where one takes the whole time, unless it takes it several times over.
  for (double spent = 0; times.size() < kMost && (spent < seconds || (times.size() < kLeast && spent < 3 * seconds));) {
    start->Record({});
    engine_.Gemm(problem, args);
    stop->Record({});
    times.push_back(stop->MillisecondsSince(*start));
    spent = MillisecondsSince(begin) / 1e3;
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  measurement.median_ms = times[times.size() / 2];
  measurement.calls = static_cast<int>(times.size());
}

void Workbench::FirstCall(const GemmProblem& problem, const GemmArgs& args, bool counted, Measurement& measurement) {
  Emulation* const emulation = counted ? device_.emulation() : nullptr;
  const auto begin = Clock::now();
  measurement.plan = engine_.Prepare(problem, device_.id());
  if (emulation != nullptr) emulation->ClearStatistics();
  if (emulation != nullptr) emulation->EnableStatistics(true);
  engine_.Gemm(problem, args);
  device_.Synchronize();
  measurement.first_ms = MillisecondsSince(begin);
  if (emulation == nullptr) return;
  emulation->EnableStatistics(false);
  measurement.statistics = emulation->Statistics();
}

Measurement Workbench::Measure(const NamedProblem& shape, const Work& work) {
  Operands operands = Bind(shape, work.alpha);
  std::optional<EpilogueOperands> epilogue;
  if (shape.problem.epilogue_id != 0) {
    epilogue.emplace(engine_, device_.id(), shape.problem, seed_);
    operands.device.epilogue = &epilogue->device();
    operands.host.epilogue = &epilogue->host();
    epilogue->PoisonMaxima();
  }
  std::optional<ScaleOperands> scales;
  if (shape.problem.scaling != Scaling::kNone) {
    scales.emplace(engine_, device_.id(), shape.problem, seed_ + 7);
    operands.device.scales = &scales->device();
    operands.host.scales = &scales->host();
  }
  std::optional<GroupOperands> groups;
  if (shape.problem.grouping != Grouping::kNone) {
    groups.emplace(engine_, device_.id(), shape.problem, seed_ + 9);
    operands.device.groups = &groups->device();
    operands.host.groups = &groups->host();
  }
  Measurement measurement;
  measurement.shape = shape;
  measurement.device = ToString(device_.id());
  PoisonOutput(operands.host.d);

  const GemmProblem problem = Describe(operands.device, shape.problem.acc_type, shape.problem.compute);
  FirstCall(problem, operands.device, work.statistics, measurement);
  if (work.check) {
    if (epilogue) epilogue->FetchMaxima();
    measurement.check = Check(problem, operands.host);
  }
  if (work.seconds > 0) TimeCalls(problem, operands.device, work.seconds, measurement);
  return measurement;
}

}  // namespace gemmsmith::cli
