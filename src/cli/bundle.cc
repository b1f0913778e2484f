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

void AddWriting(CLI::App& app, Options& options) {
  app.add_option("--level", options.bundle_options.level, "zstd's, 1 to 19: quick to make, or small [19]")
      ->type_name("INT")
      ->check(CLI::Range(1, kBundleLevel).description(""));
  app.add_option("--sign", options.bundle_options.signing_key_file, "Sign each kernel with this secret key")
      ->type_name("NAME.key");
}

void AddSigners(CLI::App& app, Options& options) {
  app.add_option("--signer", options.signers, "Refuse what is not signed by this public key: its digits, or NAME.pub")
      ->type_name("KEY|FILE")
      ->allow_extra_args(false);  // Each time one: the bundle may follow.
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
  AddWriting(app, options);
  AddCacheDir(app, options);
  AddOutput(app, options);
}

Outcome Export(Session& session) {
  const Options& options = session.options();
  const BundleSummary summary = ExportBundle(Folder(session), options.bundle, options.bundle_options);
  if (session.text()) {
    fmt::print("wrote {}: {}\n", options.bundle, Describe(summary));
    if (summary.left_out > 0) fmt::print("left out {} that are broken or gone\n", summary.left_out);
  }
  return {true, ToJson(summary, options.bundle)};
}

void AddImportOptions(CLI::App& app, Options& options) {
  AddFile(app, options);
  AddSigners(app, options);
  AddCacheDir(app, options);
  AddOutput(app, options);
}

Outcome Import(Session& session) {
  const std::string& file = session.options().bundle;
  const BundleSummary summary = ImportBundle(file, Folder(session), session.options().signers);
  if (session.text()) fmt::print("imported {} kernels; {} were there already\n", summary.kernels, summary.left_out);
  return {true, ToJson(summary, file)};
}

void AddBuildOptions(CLI::App& app, Options& options) {
  AddProblem(app, options);
  AddServed(app, options);
  AddEpilogue(app, options);
  AddTarget(app, options);
  AddCode(app, options);
  AddJobs(app, options);
  app.add_option("--out", options.bundle, "The bundle to write")->required()->type_name("FILE");
  AddWriting(app, options);
  AddCacheDir(app, options);
  AddOutput(app, options);
  RequireAhead(app, options);
}

Outcome Build(Session& session) {
  const Options& options = session.options();
  const AheadResult result = CompileAll(session.engine(), WorkOf(session), Jobs(options));
  const BundleSummary summary = session.engine().WriteBundle(options.bundle, options.bundle_options);
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
  AddSigners(app, options);
  AddOutput(app, options);
}

void Print(const std::vector<BundleKernel>& kernels, const std::string& signer) {
  Table table({{"key", -32}, {"kernel", -46}, {"arch", -8}, {"stored", 10}, {"bytes", 10}});
  for (const BundleKernel& kernel : kernels)
    table.Row({kernel.key, kernel.name, kernel.target, std::to_string(kernel.stored_bytes),
               std::to_string(kernel.raw_bytes)});
  fmt::print("\n{}\n", signer.empty() ? "not signed" : "signed by " + signer + "; all signatures are good");
}

Outcome List(Session& session) {
  const std::vector<BundleKernel> kernels = ReadBundle(session.options().bundle, session.options().signers);
  const std::string signer = kernels.empty() ? "" : kernels.front().signer;
  if (session.text()) Print(kernels, signer);
  Json list = Json::array();
  for (const BundleKernel& kernel : kernels)
    list.push_back({{"key", kernel.key},
                    {"name", kernel.name},
                    {"arch", kernel.target},
                    {"config", kernel.config},
                    {"compiler", kernel.compiler},
                    {"stored_bytes", kernel.stored_bytes},
                    {"raw_bytes", kernel.raw_bytes}});
  return {true, {{"file", session.options().bundle}, {"signer", signer}, {"kernels", list}}};
}

void AddKeygenOptions(CLI::App& app, Options& options) {
  app.add_option("NAME", options.name, "Of the files NAME.key, the secret, and NAME.pub")->required()->type_name("");
  AddOutput(app, options);
}

Outcome Keygen(Session& session) {
  const std::string& name = session.options().name;
  const std::string key = MakeSigningKey(name);
  if (session.text()) fmt::print("wrote {0}.key, which stays secret, and {0}.pub: {1}\n", name, key);
  return {true, {{"secret_file", name + ".key"}, {"public_file", name + ".pub"}, {"public_key", key}}};
}

}  // namespace

const Command kCacheExport = {"export", "Write all kernels that are kept on disk into one bundle",
                              "gemmsmith cache export kernels.gsb", AddExportOptions, Export};
const Command kCacheImport = {"import", "Put the kernels of a bundle into the cache",
                              "gemmsmith cache import kernels.gsb", AddImportOptions, Import};
const Command kBundleBuild = {
    "build", "Compile what is missing and write it into one file; needs no GPU",
    "gemmsmith bundle build --shapes llama-3-8b --dtype bf16 --arch sm_80,sm_90a --out kernels.gsb\n"
    "  GEMMSMITH_BUNDLES=kernels.gsb gemmsmith run --shapes llama-3-8b --dtype bf16\n"
    "  gemmsmith bundle build --model deepseek-v3 --m-range 1:4096 --arch sm_90a --out kernels.gsb",
    AddBuildOptions, Build};
const Command kBundleKeygen = {"keygen", "Make a key for signing bundles",
                               "gemmsmith bundle keygen release\n"
                               "  gemmsmith cache export kernels.gsb --sign release.key\n"
                               "  gemmsmith cache import kernels.gsb --signer release.pub",
                               AddKeygenOptions, Keygen};
const Command kBundleList = {"list", "Verify a bundle and list its kernels", "gemmsmith bundle list kernels.gsb",
                             AddListOptions, List};

}  // namespace gemmsmith::cli
