#include "cli/command.h"

#include <fstream>

#include "cli/json.h"
#include "cli/table.h"
#include "gemmsmith/error.h"

namespace gemmsmith::cli {

EngineOptions Session::engine_options() const {
  EngineOptions options = options_.engine;
  options.enable_caching = !options_.no_cache;
  options.enable_jit = !options_.no_jit;
  options.mode = options_.no_jit ? CompileMode::kOffline : CompileMode::kBlocking;
  options.keep_sources = !options_.debug_dump.empty();
  return options;
}

Engine& Session::engine() {
  if (!engine_) {
    engine_ = std::make_unique<Engine>(engine_options());
    if (options_.profile) engine_->profiler().Enable(true);
  }
  return *engine_;
}

DeviceId Session::device() {
  const DeviceId id = options_.device.empty() ? engine().devices().Best().id() : ParseDeviceId(options_.device);
  if (options_.num_sms > 0) engine().SetNumSms(id, options_.num_sms);
  return id;
}

void Session::PrintProfile(const std::vector<StageTime>& times) const {
  fmt::print("\n");
  Table table({{"stage", -10}, {"kernel", -50}, {"count", 9}, {"total ms", 12}, {"mean ms", 12}, {"max ms", 12}});
  for (const StageTime& time : times)
    table.Row({time.stage, time.kernel.empty() ? "(all)" : time.kernel, std::to_string(time.count),
               Number(time.total_ms), Number(time.total_ms / static_cast<double>(time.count)), Number(time.max_ms)});
}

void Session::Finish(Json& document) {
  if (!engine_) return;
  if (options_.profile) {
    const std::vector<StageTime> times = engine_->profiler().Times();
    for (const StageTime& time : times) document["profile"].push_back(ToJson(time));
    if (text()) PrintProfile(times);
  }
  if (options_.debug_dump.empty()) return;
  Json dump = {{"kernels", Json::array()}};
  for (const KernelReport& kernel : engine_->Kernels()) dump["kernels"].push_back(ToJson(kernel));
  std::ofstream file(options_.debug_dump);
  file << Dump(dump);
  file.close();
  if (!file)
    throw Error(Code::kIo, "cannot write \"" + options_.debug_dump + "\"",
                "give --debug-dump a file that can be written");
}

}  // namespace gemmsmith::cli
