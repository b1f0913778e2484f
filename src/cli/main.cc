#include "cli/main.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <span>
#include <string_view>

#include "cli/command.h"
#include "cli/json.h"
#include "gemmsmith/error.h"
#include "gemmsmith/version.h"

namespace gemmsmith::cli {
namespace {

enum Exit { kOk = 0, kFailed = 1, kUsage = 2 };

/// False where what was printed went nowhere: a full disk, a closed pipe.
bool Flush() { return std::fflush(stdout) == 0 && std::ferror(stdout) == 0; }

void Print(const Json& document) {
  const std::string text = Dump(document);
  std::fwrite(text.data(), 1, text.size(), stdout);
}

int Report(Exit exit, bool json, std::string_view code, std::string_view message, std::string_view remedy) {
  if (json) Print(ErrorJson(code, message, remedy));
  fmt::print(stderr, "gemmsmith: {}: {}\n", code, message);
  if (!remedy.empty()) fmt::print(stderr, "  -> {}\n", remedy);
  return exit;
}

int RunCommand(const Command& command, const Options& options) {
  ApplyToEnvironment(options);
  try {
    Session session(options);
    Outcome outcome = command.run(session);
    session.Finish(outcome.document);
    if (options.json) Print(outcome.document);
    if (!Flush()) throw Error(Code::kIo, "cannot write to standard output");
    return outcome.ok ? kOk : kFailed;
  } catch (const Error& error) {
    return Report(kFailed, options.json, ToString(error.code()), error.message(), error.remedy());
  } catch (const std::bad_alloc&) {
    return Report(kFailed, options.json, ToString(Code::kOutOfMemory), "out of memory", "run smaller problems");
  } catch (const std::exception& error) {
    return Report(kFailed, options.json, ToString(Code::kInternal), error.what(), "please report this");
  }
}

/// The parser alone would only say that it misses a subcommand.
void CheckCommandName(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::string names;
  for (const CLI::App* sub : app.get_subcommands({})) {
    if (sub->get_name() == argv[1]) return;
    names += (names.empty() ? "" : ", ") + sub->get_name();
  }
  throw CLI::ParseError(fmt::format("unknown command \"{}\": there are {}", argv[1], names),
                        CLI::ExitCodes::ExtrasError);
}

}  // namespace

int Main(int argc, char** argv) {
  Options options;
  const Command* chosen = nullptr;
  CLI::App app("gemmsmith: GEMM kernels forged at run time for the shape at hand", "gemmsmith");
  app.set_version_flag("--version", GEMMSMITH_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Example: gemmsmith run --m 512 --n 4096 --k 4096 --check\nEvery command explains itself: gemmsmith run --help");
  const auto add = [&](CLI::App& parent, const Command& command) {
    CLI::App* sub = parent.add_subcommand(command.name, command.description);
    command.add_options(*sub, options);
    sub->footer(fmt::format("Example:\n  {}", command.example));
    sub->final_callback([&chosen, &command] { chosen = &command; });
  };
  for (const Command* command :
       {&kRun, &kCompile, &kExplain, &kEvaluate, &kShowCode, &kDemo, &kDevices, &kDoctor, &kWarm, &kTune, &kPlot})
    add(app, *command);
  CLI::App* cache = app.add_subcommand("cache", "Look after the compiled kernels that are kept on disk");
  cache->require_subcommand(1);
  cache->footer(fmt::format("Example:\n  {}", kCacheStats.example));
  for (const Command* command : {&kCacheStats, &kCacheList, &kCacheSearch, &kCacheShow, &kCacheVerify, &kCachePrune,
                                 &kCacheClear, &kCacheReport, &kCacheExport, &kCacheImport})
    add(*cache, *command);
  CLI::App* bundle = app.add_subcommand("bundle", "Make and look into files of precompiled kernels");
  bundle->require_subcommand(1);
  bundle->footer(fmt::format("Example:\n  {}", kBundleBuild.example));
  for (const Command* command : {&kBundleBuild, &kBundleList, &kBundleKeygen}) add(*bundle, *command);
  CLI::App* select = app.add_subcommand("select", "Look into how kernels are chosen");
  select->require_subcommand(1);
  select->footer(fmt::format("Example:\n  {}", kSelectScore.example));
  add(*select, kSelectScore);
  CLI::App* results = app.add_subcommand("results", "Look after the results of evaluations and measurements");
  results->require_subcommand(1);
  results->footer(fmt::format("Example:\n  {}", kResultsList.example));
  for (const Command* command : {&kResultsList, &kResultsShow, &kResultsExport, &kResultsImport, &kResultsPrune})
    add(*results, *command);

  try {
    CheckCommandName(app, argc, argv);
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    // The parser may have stopped before --json.
    const std::span arguments(argv, static_cast<std::size_t>(argc));
    const bool json = std::any_of(arguments.begin(), arguments.end(), [](std::string_view a) { return a == "--json"; });
    return Report(kUsage, json, "usage", error.what(), "see gemmsmith --help, or --help after a command");
  }
  return RunCommand(*chosen, options);
}

}  // namespace gemmsmith::cli
