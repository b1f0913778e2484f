// run --seeds: a hunt for faults that only some orders of warps and copies show.
#include <fmt/format.h>

#include "cli/emulation.h"
#include "cli/json.h"
#include "cli/measure.h"
#include "cli/progress.h"
#include "gemmsmith/error.h"

namespace gemmsmith::cli {
namespace {

/// How far a problem has come.
struct Hunt {
  std::uint64_t first = 0, tried = 0;
  std::string fault;  ///< Of the last seed; empty: none.

  std::uint64_t last() const { return first + tried - 1; }
  bool ok() const { return fault.empty(); }
};

/// What goes wrong in one run; empty: nothing. Each has an engine of its own, so that nothing is left of the runs
/// before it: so it will be when it is reproduced.
std::string FaultOf(Session& session, const NamedProblem& shape) {
  const Options& options = session.options();
  Engine engine(session.engine_options());
  if (options.num_sms > 0) engine.SetNumSms(session.device(), options.num_sms);
  Workbench workbench(engine, session.device(), std::span(&shape, 1), options.seed);
  try {
    const Measurement m = workbench.Measure(shape, {options.alpha, options.check, 0});
    return m.ok() ? ""
                  : fmt::format("the result is wrong: error {:.3g} of at most {:.3g}", m.check->max_error,
                                m.check->tolerance);
  } catch (const Error& error) {
    // Others are no fault of the kernel's.
    if (error.code() != Code::kDevice) throw;
    return error.what();
  }
}

Hunt HuntThrough(Session& session, const NamedProblem& shape, Emulation& emulation, Progress& progress) {
  Hunt hunt;
  const std::uint64_t before = hunt.first = emulation.seed();
  while (hunt.ok() && hunt.tried < session.options().seeds) {
    emulation.SetSeed(hunt.first + hunt.tried++);
    progress.Show(fmt::format("{} {}, seed {}", shape.name, SizeText(shape.problem), hunt.last()));
    hunt.fault = FaultOf(session, shape);
    progress.Advance();
  }
  emulation.SetSeed(before);
  return hunt;
}

Json Document(const Hunt& hunt, const NamedProblem& shape, const std::string& device) {
  Json json = ToJson(shape.problem);
  if (!shape.name.empty()) json["name"] = shape.name;
  json.update({{"device", device}, {"first_seed", hunt.first}, {"seeds", hunt.tried}, {"ok", hunt.ok()}});
  if (!hunt.ok())
    json.update({{"seed", hunt.last()},
                 {"fault", hunt.fault},
                 {"reproduce", fmt::format("GEMMSMITH_EMULATOR_SEED={}", hunt.last())}});
  return json;
}

void Print(const Hunt& hunt, const NamedProblem& shape) {
  const std::string name = shape.name.empty() ? "" : shape.name + ": ";
  if (hunt.ok()) {
    fmt::print("{}{}: {} seeds, no fault\n", name, ToString(shape.problem), hunt.tried);
    return;
  }
  fmt::print("{}{}: FAULT with seed {}, after {} without\n{}\n", name, ToString(shape.problem), hunt.last(),
             hunt.tried - 1, hunt.fault);
  fmt::print("to see it again: the same command without --seeds, and with GEMMSMITH_EMULATOR_SEED={}\n", hunt.last());
}

}  // namespace

Outcome RunSeeds(Session& session) {
  const std::vector<NamedProblem> problems = Problems(session.options());
  Emulation& emulation = EmulationOf(session, "--seeds");
  const std::string device = ToString(session.device());
  Progress progress("hunting", problems.size() * session.options().seeds);
  Outcome outcome;
  Json results = Json::array();
  for (const NamedProblem& shape : problems) {
    const Hunt hunt = HuntThrough(session, shape, emulation, progress);
    outcome.ok = hunt.ok();
    results.push_back(Document(hunt, shape, device));
    progress.Hide();
    if (session.text()) Print(hunt, shape);
    if (!hunt.ok()) break;
  }
  const bool list = !session.options().shapes.empty();
  outcome.document = list ? Json{{"ok", outcome.ok}, {"results", results}} : results.front();
  return outcome;
}

}  // namespace gemmsmith::cli
