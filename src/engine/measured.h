#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "gemmsmith/device.h"
#include "gemmsmith/options.h"
#include "gemmsmith/results.h"
#include "select/calibrate.h"

namespace gemmsmith {

struct Plan;

/// The databases of what was measured on the devices of an engine. Thread-safe.
class MeasuredResults {
 public:
  explicit MeasuredResults(const EngineOptions& options);
  /// Saves what timings wait.
  ~MeasuredResults();

  /// Null: nothing is recorded. Looks for a folder of results once for each device, and not again until something is
  /// recorded here.
  ResultsDatabase* Find(const Device& device);
  ResultsDatabase& Open(const Device& device);

  /// A timing of a call, which waits for others of its kind to share a record with. `empty_record` has all but times,
  /// and is asked for when there is none yet.
  template <class MakeRecord>
  void AddTiming(const Device& device, const std::string& problem, const std::string& config, double microseconds,
                 const MakeRecord& empty_record) {
    const std::scoped_lock lock(timings_mutex_);
    const auto key = std::pair(&device, problem + '\n' + config);
    auto found = timings_.find(key);
    if (found == timings_.end()) found = timings_.emplace(key, empty_record()).first;
    found->second.times_us.push_back(microseconds);
    if (found->second.times_us.size() >= kTimingsOfARecord) Save(found);
  }
  /// Records the timings that wait.
  void SaveTimings();

  /// `make` of the device's records, once for as many as there are. Null where there are none.
  template <class Make>
  std::shared_ptr<const Calibration> Calibrated(const Device& device, const CodeTarget& target, const Make& make) {
    ResultsDatabase* const database = Find(device);
    const std::uint64_t records = database != nullptr ? database->Statistics().tuning_records : 0;
    if (records == 0) return nullptr;
    const std::scoped_lock lock(calibrations_mutex_);
    auto& [made_of, calibration] = calibrations_[{&device, ToString(target)}];
    if (made_of != records) calibration = make(*database);
    made_of = records;
    return calibration;
  }

 private:
  using Timings = std::map<std::pair<const Device*, std::string>, TuningRecord>;
  static constexpr std::size_t kTimingsOfARecord = 64;

  void Save(Timings::iterator timings);

  const ResultsOptions options_;
  std::mutex mutex_;
  std::map<const Device*, std::unique_ptr<ResultsDatabase>> databases_;  // null: there was none
  std::mutex timings_mutex_;
  Timings timings_;  // none without a timing
  std::mutex calibrations_mutex_;
  /// How many records each is made of.
  std::map<std::pair<const Device*, std::string>, std::pair<std::uint64_t, std::shared_ptr<const Calibration>>>
      calibrations_;
};

/// A record of a plan's config, without times.
TuningRecord NewRecord(const Plan& plan, const Device& device);

}  // namespace gemmsmith
