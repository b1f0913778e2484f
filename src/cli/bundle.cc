#include "gemmsmith/bundle.h"

#include "cli/ahead.h"
#include "cli/command.h"
#include "cli/table.h"
#include "gemmsmith/error.h"

namespace gemmsmith::cli {
namespace {

void AddFile(CLI::App& app, Options& options) {
  app.add_option("FILE", options.bundle, "The bundle")->required()->type_name("");
}

void AddLevel(CLI::App& app, Options& options) {
  app.add_option("--level", options.level, "zstd's, 1 to 19: quick to make, or small [19]")
      ->type_name("INT")
      ->check(CLI::Range(1, kBundleLevel).description(""));
}

Json ToJson(const BundleSummary& summary, const std::string& file) {
  return {{"file", file},
          {"kernels", summary.kernels},
          {"raw_bytes", summary.raw_bytes},
          {"stored_bytes", summary.stored_bytes},
          {"left_out", summary.left_out}};
}

std::string Describe(const BundleSummary& summary) {
  return fmt::format("{} kernels, {} ({} unpacked)", summary.kernels, Bytes(static_cast<double>(summary.stored_bytes)),
                     Bytes(static_cast<double>(summary.raw_bytes)));
}

/// Of the session's cache.
std::string Folder(Session& session) {
  std::string folder = session.engine().Cache().directory;
  if (folder.empty()) throw Error(Code::kNotFound, "there is no cache folder", "give --cache-dir");
  return folder;
}

void AddExportOptions(CLI::App& app, Options& options) {
  AddFile(app, options);
  AddLevel(app, options);
  AddCacheDir(app, options);
  AddOutput(app, options);
}

Outcome Export(Session& session) {
  const Options& options = session.options();
  const BundleSummary summary = ExportBundle(Folder(session), options.bundle, options.level);
  if (session.text()) {
    fmt::print("wrote {}: {}\n", options.bundle, Describe(summary));
    if (summary.left_out > 0) fmt::print("left out {} that are broken or gone\n", summary.left_out);
  }
  return {true, ToJson(summary, options.bundle)};
}

void AddImportOptions(CLI::App& app, Options& options) {
  AddFile(app, options);
  AddCacheDir(app, options);
  AddOutput(app, options);
}

Outcome Import(Session& session) {
  const std::string& file = session.options().bundle;
  const BundleSummary summary = ImportBundle(file, Folder(session));
  if (session.text()) fmt::print("imported {} kernels; {} were there already\n", summary.kernels, summary.left_out);
  return {true, ToJson(summary, file)};
}

void AddBuildOptions(CLI::App& app, Options& options) {
  AddProblem(app, options);
  AddTarget(app, options);
  AddCode(app, options);
  AddJobs(app, options);
  app.add_option("--out", options.bundle, "The bundle to write")->required()->type_name("FILE");
  AddLevel(app, options);
  AddCacheDir(app, options);
  AddOutput(app, options);
  RequireAhead(app, options);
}

Outcome Build(Session& session) {
  const Options& options = session.options();
  const AheadResult result = CompileAll(session.engine(), Problems(options), AheadTargets(session), Jobs(options));
  const BundleSummary summary = session.engine().WriteBundle(options.bundle, options.level);
  Outcome outcome{summary.left_out == 0, cli::ToJson(result)};
  outcome.document["bundle"] = ToJson(summary, options.bundle);
  if (session.text()) {
    PrintKernels(result);
    fmt::print("\nwrote {}: {}\n", options.bundle, Describe(summary));
    if (summary.left_out > 0) fmt::print("left out {} that the cache could not keep\n", summary.left_out);
  }
  return outcome;
}

void AddListOptions(CLI::App& app, Options& options) {
  AddFile(app, options);
  AddOutput(app, options);
}

void Print(const std::vector<BundleKernel>& kernels) {
  Table table({{"key", -32}, {"kernel", -46}, {"arch", -8}, {"stored", 10}, {"bytes", 10}});
  for (const BundleKernel& kernel : kernels)
    table.Row({kernel.key, kernel.name, kernel.target, std::to_string(kernel.stored_bytes),
               std::to_string(kernel.raw_bytes)});
}

Outcome List(Session& session) {
  const std::vector<BundleKernel> kernels = ReadBundle(session.options().bundle);
  if (session.text()) Print(kernels);
  Json list = Json::array();
  for (const BundleKernel& kernel : kernels)
    list.push_back({{"key", kernel.key},
                    {"name", kernel.name},
                    {"arch", kernel.target},
                    {"config", kernel.config},
                    {"compiler", kernel.compiler},
                    {"stored_bytes", kernel.stored_bytes},
                    {"raw_bytes", kernel.raw_bytes}});
  return {true, {{"file", session.options().bundle}, {"kernels", list}}};
}

}  // namespace

const Command kCacheExport = {"export", "Write all kernels that are kept on disk into one bundle",
                              "gemmsmith cache export kernels.gsb", AddExportOptions, Export};
const Command kCacheImport = {"import", "Put the kernels of a bundle into the cache",
                              "gemmsmith cache import kernels.gsb", AddImportOptions, Import};
const Command kBundleBuild = {
    "build", "Compile what is missing and write it into one file; needs no GPU",
    "gemmsmith bundle build --shapes llama-3-8b --dtype bf16 --arch sm_80,sm_90a --out kernels.gsb\n"
    "  GEMMSMITH_BUNDLES=kernels.gsb gemmsmith run --shapes llama-3-8b --dtype bf16",
    AddBuildOptions, Build};
const Command kBundleList = {"list", "Verify a bundle and list its kernels", "gemmsmith bundle list kernels.gsb",
                             AddListOptions, List};

}  // namespace gemmsmith::cli
