#include <chrono>
#include <optional>

#include "bindings.h"
#include "engine_access.h"
#include "gemmsmith/bundle.h"
#include "gemmsmith/persistent_cache.h"
#include "rows.h"

namespace gemmsmith::python {
namespace {

/// Of the engine's directory, unless another is named.
PersistentCache Open(const std::string& directory) {
  return PersistentCache(directory.empty() ? CurrentEngine()->options().cache_dir : directory);
}

nb::dict RowOf(const CachedKernel& kernel) {
  return Row()
      .Add("key", kernel.key)
      .Add("kernel", kernel.kernel_name)
      .Add("problem", kernel.problem)
      .Add("config", kernel.config)
      .Add("arch", kernel.arch)
      .Add("compiler", kernel.compiler)
      .Add("stored_bytes", kernel.stored_bytes)
      .Add("ptx_bytes", kernel.ptx_size)
      .Add("cubin_bytes", kernel.cubin_size)
      .Add("compile_ms", kernel.compile_ms)
      .Add("uses", kernel.usage_count)
      .Add("created_unix", kernel.created_unix)
      .Add("last_used_unix", kernel.last_used_unix)
      .Add("registers", kernel.resources.registers)
      .Add("spill_bytes", kernel.resources.spill_bytes);
}

nb::dict Stats() {
  const CacheStats stats = CurrentEngine()->Cache();
  return Row()
      .Add("directory", stats.directory)
      .Add("disk_status", stats.disk_status)
      .Add("memory_kernels", stats.memory_kernels)
      .Add("memory_bytes", stats.memory_bytes)
      .Add("disk_kernels", stats.disk_kernels)
      .Add("disk_bytes", stats.disk_bytes)
      .Add("bundle_kernels", stats.bundle_kernels)
      .Add("bundle_bytes", stats.bundle_bytes)
      .Add("quarantined", stats.quarantined)
      .Add("memory_hits", stats.memory_hits)
      .Add("disk_hits", stats.disk_hits)
      .Add("bundle_hits", stats.bundle_hits)
      .Add("misses", stats.misses)
      .Add("compiles", stats.compiles)
      .Add("saved_compile_ms", stats.saved_compile_ms);
}

nb::dict RowOf(const PruneReport& report) {
  return Row()
      .Add("removed_kernels", report.removed_kernels)
      .Add("removed_bytes", report.removed_bytes)
      .Add("kept_kernels", report.kept_kernels)
      .Add("kept_bytes", report.kept_bytes);
}

nb::dict Prune(nb::handle max_bytes, nb::handle max_kernels, nb::handle max_age_seconds, bool dry_run,
               const std::string& directory) {
  PruneLimits limits;
  if (Given(max_bytes)) limits.max_bytes = nb::cast<std::uint64_t>(max_bytes);
  if (Given(max_kernels)) limits.max_kernels = nb::cast<std::uint64_t>(max_kernels);
  if (Given(max_age_seconds)) limits.max_age = std::chrono::seconds(nb::cast<std::int64_t>(max_age_seconds));
  return RowOf(Open(directory).Prune(limits, dry_run));
}

nb::dict Verify(bool repair, const std::string& directory) {
  const PersistentCache cache = Open(directory);
  const IntegrityReport report = Interruptibly([&](const CancellationToken&) { return cache.Verify(repair); });
  return Row()
      .Add("checked", report.checked)
      .Add("other_format", report.other_format)
      .Add("repaired", report.repaired)
      .Add("broken", Rows(report.broken, [](const BrokenKernel& broken) -> nb::dict {
             return Row().Add("key", broken.key).Add("reason", broken.reason);
           }));
}

nb::dict Show(const std::string& key, const std::string& directory) {
  const CachedKernelDetails details = Open(directory).Show(key);
  nb::dict row = RowOf(details.kernel);
  row.update(nb::dict(Row()
                          .Add("path", details.path)
                          .Add("key_text", details.key_text)
                          .Add("log", details.log)
                          .Add("source", details.source)));
  return row;
}

}  // namespace

nb::dict BundleRow(const BundleSummary& summary) {
  return Row()
      .Add("kernels", summary.kernels)
      .Add("raw_bytes", summary.raw_bytes)
      .Add("stored_bytes", summary.stored_bytes)
      .Add("left_out", summary.left_out);
}

void BindCache(nb::module_& m) {
  m.def("cache_stats", &Stats, nb::sig("def cache_stats() -> dict[str, typing.Any]"));
  m.def(
      "cache_list",
      [](const std::string& text, const std::string& directory) {
        const PersistentCache cache = Open(directory);
        return Rows(text.empty() ? cache.List() : cache.Search(text),
                    [](const CachedKernel& one) { return RowOf(one); });
      },
      nb::sig("def cache_list(text: str, directory: str) -> list[dict[str, typing.Any]]"));
  m.def("cache_show", &Show, nb::sig("def cache_show(key: str, directory: str) -> dict[str, typing.Any]"));
  m.def("cache_read", [](const std::string& key, const std::string& part, const std::string& directory) {
    const std::string bytes = Open(directory).Read(key, part);
    return nb::bytes(bytes.data(), bytes.size());
  });
  m.def("cache_verify", &Verify, nb::sig("def cache_verify(repair: bool, directory: str) -> dict[str, typing.Any]"));
  m.def("cache_prune", &Prune, nb::arg("max_bytes").none(), nb::arg("max_kernels").none(),
        nb::arg("max_age_seconds").none(), nb::arg("dry_run"), nb::arg("directory"),
        nb::sig("def cache_prune(max_bytes: int | None, max_kernels: int | None, max_age_seconds: int | None, "
                "dry_run: bool, directory: str) -> dict[str, typing.Any]"));
  m.def(
      "cache_clear", [](const std::string& directory) { return RowOf(Open(directory).Clear()); },
      nb::sig("def cache_clear(directory: str) -> dict[str, typing.Any]"));
  m.def(
      "cache_export",
      [](const std::string& path, int level, const std::string& key_file, const std::string& directory) {
        return BundleRow(ExportBundle(Open(directory).directory(), path, {level, key_file}));
      },
      nb::sig("def cache_export(path: str, level: int, key_file: str, directory: str) -> dict[str, typing.Any]"));
  m.def(
      "read_bundle",
      [](const std::string& path, const std::vector<std::string>& signers) {
        return Rows(ReadBundle(path, signers), [](const BundleKernel& kernel) -> nb::dict {
          return Row()
              .Add("key", kernel.key)
              .Add("kernel", kernel.name)
              .Add("problem", kernel.problem)
              .Add("config", kernel.config)
              .Add("arch", kernel.target)
              .Add("compiler", kernel.compiler)
              .Add("stored_bytes", kernel.stored_bytes)
              .Add("raw_bytes", kernel.raw_bytes)
              .Add("signer", kernel.signer);
        });
      },
      nb::sig("def read_bundle(path: str, signers: list[str]) -> list[dict[str, typing.Any]]"));
  m.def("make_signing_key", &MakeSigningKey);
  m.def(
      "cache_import",
      [](const std::string& path, const std::vector<std::string>& signers, const std::string& directory) {
        return BundleRow(ImportBundle(path, Open(directory).directory(), signers));
      },
      nb::sig("def cache_import(path: str, signers: list[str], directory: str) -> dict[str, typing.Any]"));
}

}  // namespace gemmsmith::python
