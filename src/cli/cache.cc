#include "cli/command.h"
#include "cli/json.h"
#include "cli/table.h"

namespace gemmsmith::cli {
namespace {

void AddOptions(CLI::App& app, Options& options) {
  AddCacheDir(app, options);
  AddOutput(app, options);
}

Outcome Stats(Session& session) {
  const CacheStats stats = session.engine().Cache();
  if (session.text()) {
    fmt::print("folder      {}\n", stats.directory.empty() ? "none" : stats.directory);
    if (!stats.disk_status.empty()) fmt::print("off         {}\n", stats.disk_status);
    fmt::print("kernels     {}\n", stats.disk_kernels);
    fmt::print("size        {}\n", Bytes(static_cast<double>(stats.disk_bytes)));
    if (stats.bundle_kernels > 0)
      fmt::print("bundles     {} kernels, {}\n", stats.bundle_kernels, Bytes(static_cast<double>(stats.bundle_bytes)));
    fmt::print("set aside   {} (broken entries)\n", stats.quarantined);
  }
  return {true, ToJson(stats)};
}

}  // namespace

const Command kCacheStats = {"stats", "Count the compiled kernels that are kept on disk",
                             "gemmsmith cache stats --cache-dir ./jit_cache", AddOptions, Stats};

}  // namespace gemmsmith::cli
