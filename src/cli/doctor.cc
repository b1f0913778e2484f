#include "gemmsmith/doctor.h"

#include "cli/command.h"
#include "cli/json.h"
#include "cli/table.h"

namespace gemmsmith::cli {
namespace {

void AddOptions(CLI::App& app, Options& options) {
  AddCacheDir(app, options);
  AddOutput(app, options);
}

Outcome Run(Session& session) {
  Outcome outcome{true, {{"findings", Json::array()}}};
  Table table({{"item", -16}, {"found", -8}, {"version", -30}, {"path", -63}});
  for (const Finding& finding : Diagnose(session.engine())) {
    outcome.document["findings"].push_back(ToJson(finding));
    if (!session.text()) continue;
    table.Row({finding.item, std::string(ToString(finding.status)), finding.version, finding.path});
    if (!finding.remedy.empty()) fmt::print("  -> {}\n", finding.remedy);
  }
  return outcome;
}

}  // namespace

const Command kDoctor = {"doctor", "Look at everything that gemmsmith uses, and say what to do about what is missing",
                         "gemmsmith doctor", AddOptions, Run};

}  // namespace gemmsmith::cli
