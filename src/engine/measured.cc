#include "engine/measured.h"

#include <sys/stat.h>

#include "engine/plan_table.h"
#include "runtime/cpu/cpu_info.h"

namespace gemmsmith {
namespace {

ResultsOptions OptionsOf(const EngineOptions& engine) {
  ResultsOptions options;
  options.directory = engine.results_directory;
  const std::string& cache = engine.cache_dir.empty() ? Environment::Get().cache_dir : engine.cache_dir;
  if (options.directory.empty() && !cache.empty()) options.directory = cache + "/results";
  const bool keeps = engine.use_results && engine.enable_caching && engine.enable_disk;
  if (!keeps || options.directory.empty()) options.storage = ResultsStorage::kMemory;
  return options;
}

}  // namespace

MeasuredResults::MeasuredResults(const EngineOptions& options) : options_(OptionsOf(options)) {}

MeasuredResults::~MeasuredResults() { SaveTimings(); }

ResultsDatabase* MeasuredResults::Find(const Device& device) {
  const std::scoped_lock lock(mutex_);
  const auto [found, is_new] = databases_.try_emplace(&device);
  struct stat folder {};
  if (is_new && options_.storage != ResultsStorage::kMemory && ::stat(options_.directory.c_str(), &folder) == 0)
    found->second = std::make_unique<ResultsDatabase>(DeviceArchitecture(device.spec()), options_);
  return found->second.get();
}

ResultsDatabase& MeasuredResults::Open(const Device& device) {
  const std::scoped_lock lock(mutex_);
  std::unique_ptr<ResultsDatabase>& database = databases_[&device];
  if (!database) database = std::make_unique<ResultsDatabase>(DeviceArchitecture(device.spec()), options_);
  return *database;
}

void MeasuredResults::Save(Timings::iterator timings) {
  Open(*timings->first.first).AddTuning(std::move(timings->second));
  timings_.erase(timings);
}

void MeasuredResults::SaveTimings() {
  const std::scoped_lock lock(timings_mutex_);
  while (!timings_.empty()) Save(timings_.begin());
}

TuningRecord NewRecord(const Plan& plan, const Device& device) {
  TuningRecord record;
  record.problem = ToString(plan.problem);
  record.config = ToString(plan.info.config);
  for (const KernelReport& kernel : plan.info.kernels)
    record.code_digest += (record.code_digest.empty() ? "" : "+") + kernel.key;
  record.device = device.spec().name;
  if (!plan.info.kernels.empty()) record.target = plan.info.kernels.front().target;
  if (device.id().kind == DeviceKind::kCpu) record.core_clock_mhz = CpuClockMhz();
  return record;
}

}  // namespace gemmsmith
