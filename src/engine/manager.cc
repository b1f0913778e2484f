#include "gemmsmith/manager.h"

#include <cstdlib>
#include <list>
#include <mutex>
#include <utility>

#include "util/log.h"

namespace gemmsmith {

struct GlobalJITManager::State {
  Devices devices;
  Profiler profiler;
  mutable std::mutex mutex;
  GlobalJITConfig config;
  std::shared_ptr<Engine> default_engine;
  std::list<std::pair<EngineOptions, std::weak_ptr<Engine>>> engines;
};

namespace {

void WriteTraceAtExit() {
  try {
    GlobalJITManager::Instance().profiler().WriteTrace(Environment::Get().trace_file);
  } catch (const std::exception& error) {
    Warn("GEMMSMITH_TRACE: {}", error.what());
  }
}

}  // namespace

EngineOptions GlobalJITConfig::ToOptions() const {
  EngineOptions options;
  options.enable_jit = enable_jit;
  options.mode = enable_jit ? CompileMode::kBlocking : CompileMode::kOffline;
  options.enable_caching = enable_caching;
  options.cache_dir = cache_dir;
  options.cache_policy = cache_policy;
  return options;
}

GlobalJITManager::GlobalJITManager() : state_(std::make_unique<State>()) {
  if (Environment::Get().trace_file.empty()) return;
  state_->profiler.Enable(true);
  std::atexit(WriteTraceAtExit);
}
GlobalJITManager::~GlobalJITManager() = default;

GlobalJITManager& GlobalJITManager::Instance() {
  // Never destroyed: other statics and threads may still compute while the process ends.
  static GlobalJITManager* const manager = new GlobalJITManager();
  return *manager;
}

void GlobalJITManager::Initialize() {
  state_->devices.Best();
  DefaultEngine();
}

void GlobalJITManager::SetGlobalConfig(const GlobalJITConfig& config) {
  std::scoped_lock lock(state_->mutex);
  state_->config = config;
  state_->default_engine = nullptr;
}

GlobalJITConfig GlobalJITManager::GetGlobalConfig() const {
  std::scoped_lock lock(state_->mutex);
  return state_->config;
}

std::shared_ptr<Engine> GlobalJITManager::DefaultEngine() {
  for (;;) {
    const GlobalJITConfig config = GetGlobalConfig();
    {
      std::scoped_lock lock(state_->mutex);
      if (state_->default_engine) return state_->default_engine;
    }
    std::shared_ptr<Engine> engine = EngineFor(config.ToOptions());
    std::scoped_lock lock(state_->mutex);
    if (state_->config == config) return state_->default_engine = engine;
  }
}

std::shared_ptr<Engine> GlobalJITManager::EngineFor(const EngineOptions& options) {
  std::scoped_lock lock(state_->mutex);
  auto& engines = state_->engines;
  engines.remove_if([](const auto& entry) { return entry.second.expired(); });
  for (const auto& [known, weak] : engines)
    if (known == options)
      if (std::shared_ptr<Engine> engine = weak.lock()) return engine;
  auto engine = std::make_shared<Engine>(options);
  engines.emplace_back(options, engine);
  return engine;
}

Devices& GlobalJITManager::devices() { return state_->devices; }
Profiler& GlobalJITManager::profiler() { return state_->profiler; }

}  // namespace gemmsmith
