#include <algorithm>

#include "cli/ahead.h"
#include "cli/command.h"
#include "cli/table.h"

namespace gemmsmith::cli {
namespace {

void AddOptions(CLI::App& app, Options& options) {
  AddProblem(app, options);
  AddServed(app, options);
  AddEpilogue(app, options);
  AddTarget(app, options);
  AddCode(app, options);
  AddJobs(app, options);
  AddCacheDir(app, options);
  AddOutput(app, options);
  RequireAhead(app, options);
}

Outcome Warm(Session& session) {
  const Options& options = session.options();
  const AheadResult result = CompileEach(session.engine(), WorkOf(session), Jobs(options));
  const auto found = std::ranges::count_if(result.kernels, &AheadKernel::cached);
  const auto compiled = static_cast<std::ptrdiff_t>(result.kernels.size()) - found;
  if (session.text()) {
    fmt::print("{} compiled, {} found, {} failed in {} s\n", compiled, found, result.failures.size(),
               Number(result.seconds));
    PrintFailures(result);
  }
  Json failures = Json::array();
  for (const AheadFailure& failure : result.failures)
    failures.push_back(
        {{"problem", failure.problem}, {"arch", failure.arch}, {"code", failure.code}, {"message", failure.message}});
  Outcome outcome{result.failures.empty(),
                  {{"ok", result.failures.empty()}, {"compiled", compiled}, {"found", found}, {"failures", failures}}};
  outcome.document.update(ToJson(result));
  return outcome;
}

}  // namespace

const Command kWarm = {"warm",
                       "Compile a list of problems into the cache; what fails does not stop the rest, and what is "
                       "there already is not compiled again",
                       "gemmsmith warm --model deepseek-v3 --arch sm_90a --jobs 2\n"
                       "  gemmsmith warm --model config.json --m-range 1:512 --dtype e4m3,e4m3,bf16 --scaling 128x128 "
                       "--arch sm_90a\n"
                       "  gemmsmith warm --shapes llama-3-8b --dtype bf16 --arch sm_80,sm_90a --jobs 4",
                       AddOptions, Warm};

}  // namespace gemmsmith::cli
