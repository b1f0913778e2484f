#pragma once

#include <mutex>
#include <utility>

#include "engine/kernel_maker.h"
#include "engine/measured.h"
#include "engine/num_sms.h"
#include "engine/plan_table.h"
#include "engine/planner.h"
#include "engine/workspaces.h"
#include "gemmsmith/engine.h"
#include "gemmsmith/manager.h"

namespace gemmsmith {

/// The parts of an engine. Hidden, unlike its class.
struct [[gnu::visibility("hidden")]] Engine::State {
  explicit State(EngineOptions given)
      : options(std::move(given)),
        devices(GlobalJITManager::Instance().devices()),
        profiler(GlobalJITManager::Instance().profiler()),
        maker(options, profiler),
        measured(options) {}

  const EngineOptions options;
  Devices& devices;
  Profiler& profiler;
  KernelMaker maker;
  MeasuredResults measured;
  SmSettings sms;        // and the plans of each
  std::mutex auto_tune;  // Who waits for it finds the problem tuned.
  Workspaces workspaces;

  /// If set, what launching `plan` comes to.
  const SmallCall* SmallOf(const Plan& plan) const {
    return plan.swapped || !plan.is_right() || profiler.enabled() ? nullptr : plan.small.get();
  }
  Planner planner() { return planner(sms.current()); }
  Planner planner(const SmSetting& setting) { return {options, devices, maker, measured, profiler, setting}; }
};

}  // namespace gemmsmith
