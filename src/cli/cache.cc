#include <algorithm>
#include <ctime>
#include <string_view>

#include "cli/command.h"
#include "cli/json.h"
#include "cli/table.h"
#include "gemmsmith/disassemble.h"
#include "gemmsmith/persistent_cache.h"

namespace gemmsmith::cli {
namespace {

void AddOptions(CLI::App& app, Options& options) {
  AddCacheDir(app, options);
  AddOutput(app, options);
}

void AddListOptions(CLI::App& app, Options& options) {
  AddFilter(app, options);
  AddOptions(app, options);
}

void AddSearchOptions(CLI::App& app, Options& options) {
  app.add_option("text", options.text, "Part of a key, name, problem, config, architecture or compiler")->required();
  AddListOptions(app, options);
}

void AddShowOptions(CLI::App& app, Options& options) {
  app.add_option("key", options.key, "The key, or its first digits")->required();
  CLI::Option* source = app.add_flag("--source", options.source, "Its source, where CachePolicy::enable_debug kept it");
  CLI::Option* ptx = app.add_flag("--ptx", options.ptx, "Its PTX")->excludes(source);
  app.add_flag("--sass", options.sass, "Its machine code, by nvdisasm or cuobjdump")->excludes(source, ptx);
  AddOptions(app, options);
}

void AddVerifyOptions(CLI::App& app, Options& options) {
  app.add_flag("--repair", options.repair, "Set broken entries aside, remove those of another format");
  AddOptions(app, options);
}

void AddPruneOptions(CLI::App& app, Options& options) {
  AddPrune(app, options);
  AddOptions(app, options);
  app.parse_complete_callback([&options] {
    if (!options.prune.max_bytes && !options.prune.max_age && !options.prune.max_kernels)
      throw CLI::RequiredError("a limit (--max-size, --max-age or --max-count)");
  });
}

PersistentCache Cache(const Session& session) { return PersistentCache(session.options().engine.cache_dir); }

std::string Percent(std::uint64_t part, std::uint64_t whole) {
  return fmt::format("{:.1f} %", whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

void Print(const CacheHistory& h) {
  const std::uint64_t lookups = h.memory_hits + h.disk_hits + h.bundle_hits + h.misses;
  fmt::print("lookups     {} so far, of all processes\n", lookups);
  fmt::print("  memory    {} ({})\n", h.memory_hits, Percent(h.memory_hits, lookups));
  fmt::print("  disk      {} ({})\n", h.disk_hits, Percent(h.disk_hits, lookups));
  fmt::print("  bundles   {} ({})\n", h.bundle_hits, Percent(h.bundle_hits, lookups));
  fmt::print("  misses    {} ({})\n", h.misses, Percent(h.misses, lookups));
  fmt::print("saved       {} s of compiling\n", Number(h.saved_compile_ms / 1000));
}

Outcome Stats(Session& session) {
  const CacheStats stats = session.engine().Cache();
  const CacheHistory history = stats.directory.empty() ? CacheHistory{} : PersistentCache(stats.directory).History();
  if (session.text()) {
    fmt::print("folder      {}\n", stats.directory.empty() ? "none" : stats.directory);
    if (!stats.disk_status.empty()) fmt::print("off         {}\n", stats.disk_status);
    fmt::print("kernels     {}\n", stats.disk_kernels);
    fmt::print("size        {}\n", Bytes(static_cast<double>(stats.disk_bytes)));
    if (stats.bundle_kernels > 0)
      fmt::print("bundles     {} kernels, {}\n", stats.bundle_kernels, Bytes(static_cast<double>(stats.bundle_bytes)));
    fmt::print("set aside   {} (broken entries)\n", stats.quarantined);
    Print(history);
  }
  Json document = ToJson(stats);
  document["history"] = ToJson(history);
  return {true, document};
}

/// "3 days", of the time since then.
std::string Since(std::int64_t unix_seconds) {
  const std::int64_t seconds = std::max<std::int64_t>(0, std::time(nullptr) - unix_seconds);
  if (seconds < 2 * 3600) return fmt::format("{} min", seconds / 60);
  if (seconds < 48 * 3600) return fmt::format("{} h", seconds / 3600);
  return fmt::format("{} days", seconds / (24 * 3600));
}

void Sort(std::vector<CachedKernel>& kernels, std::string_view by) {
  const auto descending = [&](auto field) { std::ranges::stable_sort(kernels, std::ranges::greater{}, field); };
  if (by == "name") std::ranges::stable_sort(kernels, {}, &CachedKernel::kernel_name);
  if (by == "size") descending(&CachedKernel::stored_bytes);
  if (by == "use") descending(&CachedKernel::last_used_unix);
  if (by == "age") std::ranges::stable_sort(kernels, {}, &CachedKernel::last_used_unix);
  if (by == "count") descending(&CachedKernel::usage_count);
  if (by == "compile") descending(&CachedKernel::compile_ms);
}

bool IsWanted(const CachedKernel& kernel, const Options& options, std::int64_t now) {
  const auto unused = static_cast<std::uint64_t>(std::max<std::int64_t>(0, now - kernel.last_used_unix));
  const auto& arch = options.arch;
  return kernel.kernel_name.find(options.name) != std::string::npos &&
         (arch.empty() || std::find(arch.begin(), arch.end(), kernel.arch) != arch.end()) &&
         unused >= options.older_than.value_or(0) && unused <= options.newer_than.value_or(unused) &&
         (!options.larger_than || kernel.stored_bytes > *options.larger_than) &&
         (!options.smaller_than || kernel.stored_bytes < *options.smaller_than);
}

Outcome PrintKernels(const Session& session, std::vector<CachedKernel> kernels) {
  const Options& options = session.options();
  const std::int64_t now = std::time(nullptr);
  std::erase_if(kernels, [&](const CachedKernel& kernel) { return !IsWanted(kernel, options, now); });
  Sort(kernels, options.sort);
  if (options.limit > 0 && kernels.size() > options.limit) kernels.resize(options.limit);
  Json list = Json::array();
  Table table(
      {{"key", -12}, {"kernel", -44}, {"arch", -14}, {"size", 9}, {"used", 8}, {"last use", 9}, {"compile ms", 10}});
  for (const CachedKernel& k : kernels) {
    list.push_back(ToJson(k));
    if (session.text())
      table.Row({k.key.substr(0, 12), k.kernel_name, k.arch, Bytes(static_cast<double>(k.stored_bytes)),
                 std::to_string(k.usage_count), Since(k.last_used_unix), Number(k.compile_ms)});
  }
  if (session.text() && kernels.empty()) fmt::print("no kernels\n");
  return {true, {{"directory", Cache(session).directory()}, {"kernels", list}}};
}

Outcome List(Session& session) { return PrintKernels(session, Cache(session).List()); }
Outcome Search(Session& session) { return PrintKernels(session, Cache(session).Search(session.options().text)); }

/// A line or a block for each field.
void Print(const Json& document) {
  for (const auto& [name, value] : document.items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (name != "source" && !text.empty())
      fmt::print("{:<20} {}{}\n", name, text.find('\n') == text.npos ? "" : "\n", text);
  }
}

Outcome Show(Session& session) {
  const Options& options = session.options();
  const PersistentCache cache = Cache(session);
  const CachedKernelDetails details = cache.Show(options.key);
  Json document = ToJson(details);
  if (options.ptx) document["ptx"] = cache.Read(details.kernel.key, "ptx");
  if (options.sass) document["sass"] = Disassemble(cache.Read(details.kernel.key, "cubin"));
  const char* const chosen = options.source ? "source" : options.ptx ? "ptx" : options.sass ? "sass" : nullptr;
  if (session.text() && chosen != nullptr) {
    fmt::print("{}", document[chosen].get_ref<const std::string&>());
  } else if (session.text()) {
    Print(document);
  }
  const bool missing = options.source && details.source.empty();
  if (missing) fmt::print(stderr, "gemmsmith: no source was kept: set CachePolicy::enable_debug before compiling\n");
  return {!missing, document};
}

Outcome Verify(Session& session) {
  const IntegrityReport report = Cache(session).Verify(session.options().repair);
  if (session.text()) {
    for (const BrokenKernel& broken : report.broken) fmt::print("{}: {}\n", broken.key, broken.reason);
    fmt::print("{} checked, {} broken, {} of another format, {} repaired\n", report.checked, report.broken.size(),
               report.other_format, report.repaired);
  }
  return {report.broken.empty() || report.repaired == report.broken.size() + report.other_format, ToJson(report)};
}

Outcome Print(const Session& session, const PruneReport& report) {
  if (session.text())
    fmt::print("{} {} kernels ({}), {} ({}) stay\n", session.options().dry_run ? "would remove" : "removed",
               report.removed_kernels, Bytes(static_cast<double>(report.removed_bytes)), report.kept_kernels,
               Bytes(static_cast<double>(report.kept_bytes)));
  return {true, ToJson(report)};
}

Outcome Prune(Session& session) {
  return Print(session, Cache(session).Prune(session.options().prune, session.options().dry_run));
}

Outcome Clear(Session& session) { return Print(session, Cache(session).Clear()); }

}  // namespace

const Command kCacheStats = {"stats", "Count the compiled kernels that are kept on disk, and the hits",
                             "gemmsmith cache stats --cache-dir ./jit_cache", AddOptions, Stats};
const Command kCacheList = {"list", "List the kernels on disk", "gemmsmith cache list --arch sm_90a --sort size",
                            AddListOptions, List};
const Command kCacheSearch = {"search", "List the kernels on disk that have a text somewhere",
                              "gemmsmith cache search bf16", AddSearchOptions, Search};
const Command kCacheShow = {"show", "Show all that is known of one kernel on disk", "gemmsmith cache show 3f2a",
                            AddShowOptions, Show};
const Command kCacheVerify = {"verify", "Read every kernel on disk and report those that are broken",
                              "gemmsmith cache verify --repair", AddVerifyOptions, Verify};
const Command kCachePrune = {"prune", "Remove kernels that were not used for long",
                             "gemmsmith cache prune --max-size 2G --max-age 30d --dry-run", AddPruneOptions, Prune};
const Command kCacheClear = {"clear", "Remove all kernels on disk, and the counters",
                             "gemmsmith cache clear --cache-dir ./jit_cache", AddOptions, Clear};

}  // namespace gemmsmith::cli
