#include "engine/num_sms.h"

#include "engine/engine_state.h"
#include "util/log.h"

namespace gemmsmith {

DeviceSpec SmSetting::SpecOf(const Device& device) const {
  DeviceSpec spec = device.spec();
  const DeviceId id = device.id();
  if (const auto limit = limits_.find({id.kind, id.index}); limit != limits_.end())
    spec.multiprocessors = limit->second;
  return spec;
}

void SmSettings::Set(DeviceId device, int num_sms, int all) {
  const std::scoped_lock lock(mutex_);
  SmSetting::Limits limits = current().limits();
  limits.erase({device.kind, device.index});
  if (num_sms < all) limits[{device.kind, device.index}] = num_sms;
  current_.store(&Find(limits), std::memory_order_release);
}

std::vector<SmSetting*> SmSettings::All() {
  const std::scoped_lock lock(mutex_);
  std::vector<SmSetting*> all;
  for (const auto& [limits, setting] : settings_) all.push_back(setting.get());
  return all;
}

SmSetting& SmSettings::Find(const SmSetting::Limits& limits) {
  std::unique_ptr<SmSetting>& setting = settings_[limits];
  if (!setting) setting = std::make_unique<SmSetting>(limits);
  return *setting;
}

void Engine::SetNumSms(DeviceId device, int num_sms) {
  const int all = state_->devices.Get(device).spec().multiprocessors;
  if (device.kind == DeviceKind::kCpu)
    throw Fail(Code::kUnsupported, "set GEMMSMITH_NUM_THREADS, or --threads", "set num sms: {} has no SMs",
               ToString(device));
  if (num_sms < 1 || num_sms > all)
    throw Fail(Code::kInvalidArgument, "", "set num sms: {} is not from 1 to the {} of {}", num_sms, all,
               ToString(device));
  state_->sms.Set(device, num_sms, all);
}

int Engine::GetNumSms(DeviceId device) const {
  return state_->sms.current().SpecOf(state_->devices.Get(device)).multiprocessors;
}

}  // namespace gemmsmith
