#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/plan_table.h"
#include "gemmsmith/device.h"

namespace gemmsmith {

/// How many SMs kernels may fill, and the plans that were made so. Those of a setting stay: who changes it back and
/// forth plans once.
class SmSetting {
 public:
  /// Of each device whose kernels may not fill all of it.
  using Limits = std::map<std::pair<DeviceKind, std::uint8_t>, int>;
  explicit SmSetting(Limits limits) : limits_(std::move(limits)) {}

  /// The device as the cost model shall see it.
  DeviceSpec SpecOf(const Device& device) const;
  const Limits& limits() const { return limits_; }

  PlanTable plans;

 private:
  const Limits limits_;
};

/// The settings of an engine so far, and the one that holds now. Reading it takes no lock. Thread-safe.
class SmSettings {
 public:
  SmSettings() { current_ = &Find({}); }

  SmSetting& current() const { return *current_.load(std::memory_order_acquire); }
  void Set(DeviceId device, int num_sms, int all);
  std::vector<SmSetting*> All();

 private:
  SmSetting& Find(const SmSetting::Limits& limits);

  std::mutex mutex_;
  std::map<SmSetting::Limits, std::unique_ptr<SmSetting>> settings_;
  std::atomic<SmSetting*> current_{nullptr};
};

}  // namespace gemmsmith
