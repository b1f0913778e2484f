#include <fmt/format.h>

#include <cstdio>

#include "cli/ahead.h"
#include "cli/command.h"
#include "cli/json.h"

namespace gemmsmith::cli {
namespace {

void AddOptions(CLI::App& app, Options& options) {
  AddProblem(app, options);
  AddEpilogue(app, options);
  AddDevice(app, options);
  AddNumSms(app, options);
  AddTarget(app, options);
  AddOutput(app, options);
  app.get_option("--device")->excludes("--arch")->excludes("--gpu");
  app.get_option("--arch")->expected(1);
  RequireProblem(app, options);
}

/// What a call on --device, else on the best device, would run; or what --arch and --gpu name.
AheadTarget TargetOf(Session& session, const GemmProblem& problem) {
  if (!session.options().arch.empty() || !session.options().gpu.empty()) return AheadTargets(session).front();
  const Explanation chosen = session.engine().Explain(problem, session.device());
  return {ParseTarget(chosen.target),
          WithNumSms(session.engine().devices().Get(session.device()).spec(), session.options())};
}

Json Show(Session& session, const NamedProblem& shape) {
  const AheadTarget target = TargetOf(session, shape.problem);
  const KernelSource source = session.engine().Render(shape.problem, target.target, target.spec);
  const bool assembled = source.target.isa == Isa::kX86;
  const std::string code = session.engine().Emit(source, assembled ? "listing" : "source");
  if (session.text()) {
    const char* const comment = assembled ? ";" : "//";
    fmt::print("{0} {1}\n{0} {2}: {3}\n", comment, ToString(shape.problem), ToString(target.target),
               ToString(source.config));
    std::fwrite(code.data(), 1, code.size(), stdout);
  }
  Json document = {{"problem", ToJson(shape.problem)},
                   {"target", ToString(target.target)},
                   {"config", ToString(source.config)},
                   {"code", code}};
  if (!shape.name.empty()) document["name"] = shape.name;
  if (!session.options().epilogue.empty()) document["problem"]["epilogue"] = session.options().epilogue;
  return document;
}

Outcome Run(Session& session) {
  Json results = Json::array();
  for (const NamedProblem& shape : Problems(session.options())) {
    if (session.text() && !results.empty()) fmt::print("\n");
    results.push_back(Show(session, shape));
  }
  return {true, session.options().shapes.empty() ? results.front() : Json{{"results", results}}};
}

}  // namespace

const Command kShowCode = {
    "show-code", "Show the kernel for a problem: CUDA C++, or machine code for a CPU",
    "gemmsmith show-code --m 16 --n 4096 --k 7168 --device cpu\n"
    "  gemmsmith show-code --m 512 --n 4096 --k 4096 --dtype bf16 --epilogue bias+gelu --arch sm_90a",
    AddOptions, Run};

}  // namespace gemmsmith::cli
