#include <algorithm>
#include <ctime>
#include <fstream>
#include <map>
#include <string_view>

#include "cli/command.h"
#include "cli/json.h"
#include "cli/results_report.h"
#include "cli/table.h"
#include "gemmsmith/error.h"
#include "gemmsmith/persistent_cache.h"
#include "gemmsmith/version.h"

namespace gemmsmith::cli {

extern const std::string_view kReportPage;  ///< report.html, which the build embeds.

namespace {

constexpr std::size_t kMostRows = 20;   // Of each list: the page stays small.
constexpr std::size_t kMostText = 200;  // Of a name, which an entry may make as long as it likes.
constexpr double kMostMs = 1e9;         // Of a compile that is believed: days.

std::string Clipped(const std::string& text) {
  return text.size() <= kMostText ? text : text.substr(0, kMostText) + "...";
}

double SavedMs(const CachedKernel& kernel) { return static_cast<double>(kernel.usage_count) * kernel.compile_ms; }

/// Of several kernels.
struct Total {
  std::uint64_t names = 0, kernels = 0, bytes = 0, usage_count = 0;
  double compile_ms = 0, saved_ms = 0;

  void Add(const Total& other) {
    names += other.names;
    kernels += other.kernels;
    bytes += other.bytes;
    usage_count += other.usage_count;
    compile_ms += other.compile_ms;
    saved_ms += other.saved_ms;
  }
};

Json ToJson(const Total& total) {
  return {{"kernels", total.kernels},
          {"bytes", total.bytes},
          {"usage_count", total.usage_count},
          {"compile_ms", total.compile_ms},
          {"saved_ms", total.saved_ms}};
}

/// One row for each value of `field`, those that saved most first, and what the others add up to.
struct Totals {
  Json rows = Json::array();
  Json others;
};
Totals TotalsBy(const std::vector<CachedKernel>& kernels, std::string CachedKernel::*field) {
  std::map<std::string, Total> by_name;
  for (const CachedKernel& kernel : kernels)
    by_name[kernel.*field].Add({0, 1, kernel.stored_bytes, kernel.usage_count, kernel.compile_ms, SavedMs(kernel)});
  std::vector<std::pair<std::string, Total>> sorted(by_name.begin(), by_name.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& x, const auto& y) {
    return std::pair(x.second.saved_ms, x.second.bytes) > std::pair(y.second.saved_ms, y.second.bytes);
  });
  Totals totals;
  Total others;
  for (auto& [name, total] : sorted) {
    if (totals.rows.size() < kMostRows) {
      totals.rows.push_back({{"name", Clipped(name)}});
      totals.rows.back().update(ToJson(total));
    } else {
      total.names = 1;
      others.Add(total);
    }
  }
  totals.others = {{"names", others.names}};
  totals.others.update(ToJson(others));
  return totals;
}

/// The first by `less`.
template <class Less>
Json First(const std::vector<CachedKernel>& kernels, const Less& less) {
  std::vector<const CachedKernel*> sorted;
  for (const CachedKernel& kernel : kernels) sorted.push_back(&kernel);
  const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(std::min(sorted.size(), kMostRows));
  std::partial_sort(sorted.begin(), end, sorted.end(), [&](const auto* x, const auto* y) { return less(*x, *y); });
  Json rows = Json::array();
  for (auto i = sorted.begin(); i != end; ++i)
    rows.push_back({{"key", (*i)->key},
                    {"name", Clipped((*i)->kernel_name)},
                    {"arch", (*i)->arch},
                    {"stored_bytes", (*i)->stored_bytes},
                    {"usage_count", (*i)->usage_count},
                    {"compile_ms", (*i)->compile_ms},
                    {"saved_ms", SavedMs(**i)},
                    {"created", (*i)->created_unix},
                    {"last_used", (*i)->last_used_unix}});
  return rows;
}

void AddEntries(const std::vector<CachedKernel>& kernels, Json& report) {
  const auto use = [](const CachedKernel& k) { return std::pair(k.last_used_unix, k.created_unix); };
  report["biggest"] = First(kernels, [](const auto& x, const auto& y) { return x.stored_bytes > y.stored_bytes; });
  report["most_used"] = First(kernels, [](const auto& x, const auto& y) { return x.usage_count > y.usage_count; });
  std::erase_if(report["most_used"].get_ref<Json::array_t&>(), [](const Json& row) { return row["usage_count"] == 0; });
  report["oldest"] = First(kernels, [&](const auto& x, const auto& y) { return use(x) < use(y); });
}

Json Limits(const CachePolicy& policy, std::uint64_t bytes, std::uint64_t kernels, std::int64_t unused_seconds) {
  const std::chrono::seconds life = policy.cache_expiration_time;
  return {{"bytes", {{"used", bytes}, {"limit", policy.max_disk_cache_size}}},
          {"kernels", {{"used", kernels}, {"limit", policy.max_cached_kernels}}},
          {"unused_seconds", {{"used", unused_seconds}, {"limit", life.count()}}}};
}

Json Samples(const PersistentCache& cache, std::int64_t now) {
  Json samples = Json::array();
  for (const CacheSample& sample : cache.Samples()) {
    if (sample.unix_time > now) continue;  // The clock was set back.
    samples.push_back({{"time", sample.unix_time}, {"kernels", sample.kernels}, {"bytes", sample.bytes}});
    samples.back().update(cli::ToJson(sample.history));
  }
  return samples;
}

Json Broken(const std::vector<BrokenKernel>& quarantine) {
  Json rows = Json::array();
  for (const BrokenKernel& broken : quarantine)
    if (rows.size() < kMostRows) rows.push_back({{"key", broken.key}, {"reason", broken.reason}});
  return rows;
}

/// All that the page shows.
Json Collect(const PersistentCache& cache, const CachePolicy& policy, const std::string& results) {
  const std::int64_t now = std::time(nullptr);
  std::vector<CachedKernel> kernels = cache.List();
  const std::vector<BrokenKernel> quarantine = cache.Quarantine();
  std::uint64_t bytes = 0;
  std::int64_t unused = 0;
  for (CachedKernel& kernel : kernels) {
    // Lists are not verified: an entry may claim what it likes, and no number breaks the order of a sort.
    if (!(kernel.compile_ms >= 0 && kernel.compile_ms < kMostMs)) kernel.compile_ms = 0;
    bytes += kernel.stored_bytes;
    unused = std::max(unused, now - kernel.last_used_unix);
  }
  const Totals by_arch = TotalsBy(kernels, &CachedKernel::arch),
               by_kernel = TotalsBy(kernels, &CachedKernel::kernel_name);
  Json report = {{"directory", cache.directory()},
                 {"version", GEMMSMITH_VERSION},
                 {"generated", now},
                 {"kernels", kernels.size()},
                 {"bytes", bytes},
                 {"disk_free_bytes", GetAvailableDiskSpace(cache.directory())},
                 {"history", cli::ToJson(cache.History())},
                 {"limits", Limits(policy, bytes, kernels.size(), unused)},
                 {"samples", Samples(cache, now)},
                 {"by_arch", by_arch.rows},
                 {"by_kernel", by_kernel.rows},
                 {"by_kernel_others", by_kernel.others},
                 {"quarantined", quarantine.size()},
                 {"quarantine", Broken(quarantine)}};
  AddEntries(kernels, report);
  AddResults(results, kMostRows, kMostText, report);
  return report;
}

/// The data as part of the page: a name must not end the element that they are in. Within JSON "<" is only in texts.
std::string Page(const Json& report) {
  std::string data;
  for (const char c : report.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace))
    if (c == '<') {
      data += "\\u003c";
    } else {
      data += c;
    }
  constexpr std::string_view kPlace = "@DATA@";
  std::string page(kReportPage);
  page.replace(page.find(kPlace), kPlace.size(), data);
  return page;
}

void AddOptions(CLI::App& app, Options& options) {
  app.add_option("--out", options.report, "The page to write, for a browser; without it --json is needed")
      ->type_name("FILE");
  AddCacheDir(app, options);
  AddOutput(app, options);
  app.parse_complete_callback([&options] {
    if (options.report.empty() && !options.json) throw CLI::RequiredError("--out or --json");
  });
}

Outcome Report(Session& session) {
  const Options& options = session.options();
  const Json report =
      Collect(PersistentCache(options.engine.cache_dir), options.engine.cache_policy, ResultsDir(options));
  if (!options.report.empty()) {
    std::ofstream file(options.report, std::ios::binary);
    file << Page(report);
    file.close();
    if (!file)
      throw Error(Code::kIo, "cannot write \"" + options.report + "\"", "give --out a file that can be written");
    if (session.text())
      fmt::print("wrote {}: {} kernels, {}, {} databases of results\n", options.report,
                 report["kernels"].get<std::uint64_t>(), Bytes(report["bytes"].get<double>()),
                 report["results_databases"].get<std::uint64_t>());
  }
  return {true, report};
}

}  // namespace

const Command kCacheReport = {
    "report", "Write a page about the cache: growth, hits, what is in it and in its results, what it saved",
    "gemmsmith cache report --out report.html", AddOptions, Report};

}  // namespace gemmsmith::cli
