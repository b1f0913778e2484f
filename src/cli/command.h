#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/options.h"
#include "gemmsmith/engine.h"

namespace gemmsmith::cli {

using Json = nlohmann::ordered_json;

/// What a subcommand works with. The engine is made when first asked for.
class Session {
 public:
  explicit Session(const Options& options) : options_(options) {}

  const Options& options() const { return options_; }
  bool text() const { return !options_.json; }
  EngineOptions engine_options() const;
  Engine& engine();
  /// --device, else the best there is; the engine keeps to --num-sms there.
  DeviceId device();
  /// What --profile and --debug-dump ask for: into the document, or printed.
  void Finish(Json& document);

 private:
  void PrintProfile(const std::vector<StageTime>& times) const;

  const Options& options_;
  std::unique_ptr<Engine> engine_;
};

/// How a subcommand ended. Without --json it has printed its findings itself.
struct Outcome {
  bool ok = true;
  Json document;
};

/// One file per command; the table of them is in main.cc.
struct Command {
  const char* name;
  const char* description;
  const char* example;
  void (*add_options)(CLI::App& app, Options& options);
  Outcome (*run)(Session& session);
};

extern const Command kRun, kCompile, kExplain, kEvaluate, kShowCode, kDemo, kDevices, kDoctor;
extern const Command kCacheStats, kCacheList, kCacheSearch, kCacheShow, kCacheVerify, kCachePrune, kCacheClear;
extern const Command kCacheReport;
extern const Command kCacheExport, kCacheImport, kBundleBuild, kBundleList, kBundleKeygen, kWarm;
extern const Command kSelectScore, kPlot, kTune;
extern const Command kResultsList, kResultsShow, kResultsExport, kResultsImport, kResultsPrune;

}  // namespace gemmsmith::cli
