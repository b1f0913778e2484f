#include "engine/kernel_maker.h"

#include <algorithm>

#include "core/installed.h"
#include "jit/cache/bundle.h"
#include "jit/cache/policy.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

ArtifactStore::Options StoreOptions(const EngineOptions& options) {
  const std::string directory = options.cache_dir.empty() ? Environment::Get().cache_dir : options.cache_dir;
  ArtifactStore::Options store;
  store.enable_memory = options.enable_caching;
  if (!options.enable_caching) return store;
  if (options.enable_disk) store.directory = directory;
  store.policy = WithEnvironment(options.cache_policy);
  store.bundles = options.bundles;
  const std::vector<std::string>& more = Environment::Get().bundles;
  store.bundles.insert(store.bundles.end(), more.begin(), more.end());
  if (const std::string installed = InstalledBundle(); !installed.empty()) store.bundles.push_back(installed);
  store.copy_bundle_hits = options.copy_bundle_hits;
  return store;
}

std::string OptionsText(const CompileOptions& o) {
  return fmt::format("opt_level={} fast_math={} register_usage_level={} line_info={}", o.opt_level, o.fast_math,
                     o.register_usage_level, o.line_info);
}

}  // namespace

KernelMaker::KernelMaker(const EngineOptions& options, Profiler& profiler)
    : options_(options), profiler_(profiler), store_(ArtifactStore::Open(StoreOptions(options))) {}

template <class Call>
void KernelMaker::Notify(Call call) {
  std::vector<std::shared_ptr<Observer>> observers;
  {
    std::scoped_lock lock(mutex_);
    observers = observers_;
  }
  for (const auto& observer : observers) {
    try {
      call(*observer);
    } catch (const std::exception& error) {
      static std::once_flag once;
      std::call_once(
          once, [&] { Warn("an observer threw \"{}\"; further throws of observers are not reported", error.what()); });
    }
  }
}

Artifact KernelMaker::Compile(const KernelSource& source, const Compiler& compiler, const std::string& digest,
                              const CancellationToken& cancel) {
  Notify([&](Observer& o) { o.OnCompileBegin(source, digest); });
  const auto begin = Profiler::Clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double, std::milli>(Profiler::Clock::now() - begin).count();
  };
  try {
    const Profiler::Span span(profiler_, "compile", source.name);
    Artifact artifact = compiler.Compile(source, {cancel, options_.compile_timeout});
    artifact.problem = source.problem;
    artifact.config = ToString(source.config);
    Notify([&](Observer& o) { o.OnCompileEnd(source, digest, elapsed(), ""); });
    return artifact;
  } catch (const std::exception& error) {
    Notify([&](Observer& o) { o.OnCompileEnd(source, digest, elapsed(), error.what()); });
    throw;
  }
}

ArtifactStore::Hit KernelMaker::Lookup(const KernelSource& source, const Compiler& compiler, const CacheKey& key,
                                       const CancellationToken& cancel) {
  const bool may_compile = options_.mode == CompileMode::kBlocking || compiler.cheap();
  if (!may_compile) {
    if (auto hit = store_->Get(key)) return *hit;
    throw Fail(Code::kNotFound,
               "compile it ahead with `gemmsmith compile`, or allow compiling (CompileMode::kBlocking, EnableJIT)",
               "kernel {} ({}) is not in the cache and compiling is off; key {}", source.name, ToString(source.target),
               key.digest.Hex());
  }
  ArtifactStore::Hit hit = store_->GetOrCompile(
      key, compiler.cheap(),
      [&] {
        Notify([&](Observer& o) { o.OnMiss(key.digest.Hex()); });
        return Compile(source, compiler, key.digest.Hex(), cancel);
      },
      &cancel);
  if (hit.origin == Origin::kCompiled && !compiler.cheap()) store_->KeepForDebugging(key, source.text, *hit.artifact);
  return hit;
}

bool KernelMaker::CanLoad(const CacheKey& key, const Artifact& artifact, Device& device) try {
  Load(key, artifact, device);
  return true;
} catch (const Error& error) {
  Fallback(artifact.kernel_name + " by " + artifact.compiler, error.what());
  return false;
}

const std::string& KernelMaker::wanted_compiler() const {
  return options_.compiler.empty() ? Environment::Get().compiler : options_.compiler;
}

CacheKey KernelMaker::KeyOf(const KernelSource& source) try {
  return MakeKey(source, FindCompiler(source.target, wanted_compiler())->version());
} catch (const Error& error) {
  if (error.code() != Code::kNotFound) throw;
  const auto accept = [](const CacheKey&, const Artifact&) { return true; };
  if (auto found = store_->GetNewest(MakeKey(source, "").recipe, accept)) return std::move(found->key);
  throw;
}

ArtifactStore::KeyedHit KernelMaker::Find(const KernelSource& source, const CancellationToken& cancel, Device* device) {
  const std::string& wanted = wanted_compiler();
  std::shared_ptr<const Compiler> compiler;
  try {
    compiler = FindCompiler(source.target, wanted);
  } catch (const Error& error) {
    if (error.code() != Code::kNotFound) throw;
    const auto accept = [&](const CacheKey& key, const Artifact& artifact) {
      return device == nullptr || CanLoad(key, artifact, *device);
    };
    if (auto found = store_->GetNewest(MakeKey(source, "").recipe, accept)) return std::move(*found);
    throw;
  }
  if (source.target.isa == Isa::kCuda && wanted.empty() && compiler->name() != "nvrtc")
    Fallback("nvrtc", "not found; compiling with nvcc");
  CacheKey key = MakeKey(source, compiler->version());
  ArtifactStore::Hit hit = Lookup(source, *compiler, key, cancel);
  return {std::move(key), std::move(hit)};
}

KernelMaker::Made KernelMaker::Obtain(const KernelSource& source, const CancellationToken& cancel,
                                      const std::string& problem, std::uint32_t dynamic_shared_bytes, Device* device) {
  const auto begin = Profiler::Clock::now();
  const ArtifactStore::KeyedHit found = Find(source, cancel, device);
  const CacheKey& key = found.key;
  const ArtifactStore::Hit& hit = found.hit;
  const auto end = Profiler::Clock::now();
  if (profiler_.enabled()) profiler_.Record("lookup", source.name, begin, end);
  if (hit.origin != Origin::kCompiled) Notify([&](Observer& o) { o.OnHit(key.digest.Hex(), hit.origin); });

  const Artifact& artifact = *hit.artifact;
  KernelReport report;
  report.name = source.name;
  report.problem = problem;
  report.config = ToString(source.config);
  report.target = ToString(source.target);
  report.compiler = artifact.compiler;
  report.options = OptionsText(source.options);
  report.key = key.digest.Hex();
  report.key_text = key.text;
  report.origin = hit.origin;
  report.compile_ms = artifact.compile_ms;
  report.obtain_ms = std::chrono::duration<double, std::milli>(end - begin).count();
  for (const char* part : {"cubin", "x86"})
    if (const auto it = artifact.parts.find(part); it != artifact.parts.end()) report.code_bytes = it->second.size();
  report.dynamic_shared_bytes = dynamic_shared_bytes;
  report.resources = artifact.resources;
  if (options_.keep_sources) report.source = source.text, report.log = artifact.log;
  {
    std::scoped_lock lock(mutex_);
    const auto same = [&](const KernelReport& r) { return r.key == report.key; };
    if (std::none_of(reports_.begin(), reports_.end(), same)) reports_.push_back(report);
  }
  return {hit.artifact, key, std::move(report)};
}

std::shared_ptr<const Kernel> KernelMaker::Load(const Made& made, Device& device) {
  return Load(made.key, *made.artifact, device);
}

std::shared_ptr<const Kernel> KernelMaker::Load(const CacheKey& key, const Artifact& artifact, Device& device) {
  const std::pair<const Device*, Digest> id{&device, key.digest};
  {
    std::scoped_lock lock(mutex_);
    if (const auto it = loaded_.find(id); it != loaded_.end()) return it->second;
  }
  const Profiler::Span span(profiler_, "load", artifact.kernel_name);
  std::shared_ptr<const Kernel> kernel = device.Load(artifact);
  std::scoped_lock lock(mutex_);
  return loaded_.emplace(id, std::move(kernel)).first->second;  // the first one loaded stays
}

void KernelMaker::AddObserver(std::shared_ptr<Observer> observer) {
  std::scoped_lock lock(mutex_);
  observers_.push_back(std::move(observer));
}

void KernelMaker::Fallback(std::string_view what, std::string_view reason) {
  LogInfo("falling back: {}: {}", what, reason);
  Notify([&](Observer& o) { o.OnFallback(what, reason); });
}

std::vector<KernelReport> KernelMaker::Reports() const {
  std::scoped_lock lock(mutex_);
  return reports_;
}

BundleSummary KernelMaker::WriteBundle(const std::string& path, const BundleOptions& options) {
  std::map<std::string, CacheKey> keys;
  for (const KernelReport& report : Reports())
    if (const auto key = ParseKey(report.key_text)) keys.emplace(report.key, *key);
  std::vector<std::string> digests;
  // Of a processor's own code nothing is kept: making it costs less than reading it.
  for (const KernelReport& report : Reports())
    if (ParseTarget(report.target).isa == Isa::kCuda) digests.push_back(report.key);
  return gemmsmith::WriteBundle(path, options, std::move(digests),
                                [&](const std::string& digest) -> std::optional<Keyed> {
                                  const CacheKey& key = keys.at(digest);
                                  const auto hit = store_->Get(key);
                                  return hit ? std::optional(Keyed{key, hit->artifact}) : std::nullopt;
                                });
}

CacheStats KernelMaker::Stats() const { return store_->Stats(); }

}  // namespace gemmsmith
