#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "array.h"
#include "bindings.h"
#include "engine_access.h"
#include "gemmsmith/manager.h"
#include "objects.h"

namespace gemmsmith::python {
namespace {

nb::ft_mutex current_mutex;  // of interpreters without a GIL; else none

std::shared_ptr<Engine>& Current() {
  static auto* const engine =
      new std::shared_ptr<Engine>;  // never destroyed: threads may compute while the process ends
  return *engine;
}

/// One member of EngineOptions or of a part of it, by its name in Python.
template <class Options, class Member>
bool SetIf(const char* name, nb::handle given, const std::string& key, Options& options, Member Options::*member) {
  if (key != name) return false;
  Member value{};
  if (!nb::try_cast(given, value))
    throw TypeMismatch(std::string("configure: ") + name + " is a " + TypeName(Py_TYPE(given.ptr())));
  options.*member = std::move(value);
  return true;
}

VerifyMode VerifyOf(const std::string& text) {
  if (text == "off") return VerifyMode::kOff;
  if (text == "first_use") return VerifyMode::kFirstUse;
  throw Error(Code::kInvalidArgument, "unknown verify mode \"" + text + "\"", "there are off and first_use");
}

bool SetPolicy(CachePolicy& policy, const std::string& key, nb::handle value) {
  if (key == "cache_expiration_hours") {
    policy.cache_expiration_time = std::chrono::hours(nb::cast<std::int64_t>(value));
    return true;
  }
  return SetIf("max_disk_cache_size", value, key, policy, &CachePolicy::max_disk_cache_size) ||
         SetIf("max_cached_kernels", value, key, policy, &CachePolicy::max_cached_kernels) ||
         SetIf("enable_compression", value, key, policy, &CachePolicy::enable_compression) ||
         SetIf("enable_checksum", value, key, policy, &CachePolicy::enable_checksum) ||
         SetIf("enable_sync", value, key, policy, &CachePolicy::enable_sync) ||
         SetIf("enable_debug", value, key, policy, &CachePolicy::enable_debug) ||
         SetIf("allow_shared_directory", value, key, policy, &CachePolicy::allow_shared_directory) ||
         SetIf("trusted_signers", value, key, policy, &CachePolicy::trusted_signers);
}

bool SetCompile(CompileOptions& compile, const std::string& key, nb::handle value) {
  return SetIf("opt_level", value, key, compile, &CompileOptions::opt_level) ||
         SetIf("fast_math", value, key, compile, &CompileOptions::fast_math) ||
         SetIf("register_usage_level", value, key, compile, &CompileOptions::register_usage_level) ||
         SetIf("warn_local_memory", value, key, compile, &CompileOptions::warn_local_memory) ||
         SetIf("line_info", value, key, compile, &CompileOptions::line_info);
}

bool SetTile(BaseConfig& tile, const std::string& key, nb::handle value) {
  return SetIf("block_m", value, key, tile, &BaseConfig::block_m) ||
         SetIf("block_n", value, key, tile, &BaseConfig::block_n) ||
         SetIf("block_k", value, key, tile, &BaseConfig::block_k) ||
         SetIf("warp_m", value, key, tile, &BaseConfig::warp_m) ||
         SetIf("warp_n", value, key, tile, &BaseConfig::warp_n) ||
         SetIf("stages", value, key, tile, &BaseConfig::stages);
}

bool SetOption(EngineOptions& options, const std::string& key, nb::handle value) {
  if (key == "offline") {
    options.mode = nb::cast<bool>(value) ? CompileMode::kOffline : CompileMode::kBlocking;
    return true;
  }
  if (key == "verify") {
    options.verify = VerifyOf(nb::cast<std::string>(value));
    return true;
  }
  if (key == "compile_timeout_seconds") {
    options.compile_timeout = std::chrono::seconds(nb::cast<std::int64_t>(value));
    return true;
  }
  return SetIf("enable_jit", value, key, options, &EngineOptions::enable_jit) ||
         SetIf("enable_caching", value, key, options, &EngineOptions::enable_caching) ||
         SetIf("enable_disk", value, key, options, &EngineOptions::enable_disk) ||
         SetIf("cache_dir", value, key, options, &EngineOptions::cache_dir) ||
         SetIf("bundles", value, key, options, &EngineOptions::bundles) ||
         SetIf("copy_bundle_hits", value, key, options, &EngineOptions::copy_bundle_hits) ||
         SetIf("compiler", value, key, options, &EngineOptions::compiler) ||
         SetIf("keep_sources", value, key, options, &EngineOptions::keep_sources) ||
         SetIf("use_results", value, key, options, &EngineOptions::use_results) ||
         SetIf("results_directory", value, key, options, &EngineOptions::results_directory) ||
         SetIf("enable_tma_multicast", value, key, options, &EngineOptions::enable_tma_multicast) ||
         SetIf("check_groups", value, key, options, &EngineOptions::check_groups) ||
         SetTile(options.tile, key, value) || SetPolicy(options.cache_policy, key, value) ||
         SetCompile(options.compile, key, value);
}

void Configure(const nb::kwargs& settings) {
  EngineOptions options = CurrentEngine()->options();
  for (const auto& [key, value] : settings) {
    const std::string name = nb::cast<std::string>(key);
    if (!SetOption(options, name, value))
      throw Error(Code::kInvalidArgument, "there is no setting \"" + name + "\"", "see help(gemmsmith.configure)");
  }
  std::shared_ptr<Engine> made = GlobalJITManager::Instance().EngineFor(options);
  const nb::ft_lock_guard lock(current_mutex);
  Current() = std::move(made);
}

constexpr const char* kConfigureDoc =
    R"(Changes settings of this process, by name; the others stay. Plans are made anew.

cache_dir, enable_disk, enable_caching  where kernels are kept, and whether (docs/environment.md has the defaults)
enable_jit, offline        False, True: no code is generated, no compiler is run
compiler, compile_timeout_seconds  "nvrtc" or "nvcc"; seconds that nvcc may take
bundles, copy_bundle_hits  files of precompiled kernels; whether their kernels go to the cache too
verify                     "off", or "first_use": compare the first result of each plan with a float64 reference
use_results, results_directory, keep_sources
block_m, block_n, block_k, stages, warp_m, warp_n  only kernels of this tile are chosen; 0: any (docs/layouts.md)
enable_tma_multicast       False: no kernels whose blocks load tiles for each other
check_groups               fetch and check what a grouped product is told of its groups, before each on a GPU
opt_level, fast_math, register_usage_level, warn_local_memory, line_info  of compiled kernels
max_disk_cache_size, max_cached_kernels, cache_expiration_hours, enable_compression, enable_checksum, enable_sync,
enable_debug, allow_shared_directory, trusted_signers  of the cache on disk

Raises InvalidArgument for a name that there is not, TypeError for a value of another type.)";

void SetNumSms(int num_sms, const std::string& device) {
  const std::shared_ptr<Engine> engine = CurrentEngine();
  engine->SetNumSms(NamedDevice(*engine, device), num_sms);
}
int GetNumSms(const std::string& device) {
  const std::shared_ptr<Engine> engine = CurrentEngine();
  return engine->GetNumSms(NamedDevice(*engine, device));
}

}  // namespace

DeviceId NamedDevice(Engine& engine, const std::string& device) {
  const DeviceId id = device.empty() ? engine.devices().Best().id() : ParseDeviceId(device);
  if (id.kind == DeviceKind::kCuda) UseCuda();
  return id;
}

std::shared_ptr<Engine> CurrentEngine() {
  const nb::ft_lock_guard lock(current_mutex);
  std::shared_ptr<Engine>& engine = Current();
  if (engine == nullptr) engine = GlobalJITManager::Instance().DefaultEngine();
  return engine;
}

void BindSettings(nb::module_& m) {
  m.def("configure", &Configure, nb::arg("settings"), kConfigureDoc,
        nb::sig("def configure(**settings: typing.Any) -> None"));
  m.def("set_num_sms", &SetNumSms, nb::arg("num_sms"), nb::arg("device") = "",
        "How many SMs of a GPU products may fill from now on, to leave the others to kernels beside them\n"
        "(docs/layouts.md); `device`: default the first GPU. `configure` ends it. Raises InvalidArgument unless it is\n"
        "from 1 to what the device has, Unsupported for the CPU.");
  m.def("get_num_sms", &GetNumSms, nb::arg("device") = "", "As set; all of the device's where none was.");
}

}  // namespace gemmsmith::python
