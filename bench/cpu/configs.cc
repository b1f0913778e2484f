#include "configs.h"

#include "kernels/family.h"
#include "ours.h"

namespace gemmsmith::bench {
namespace {

/// A kernel of one config, bound to the operands: what a plan holds.
struct Bound {
  std::shared_ptr<const Kernel> kernel;
  LaunchStep step;
  void operator()() {
    void* const params[] = {step.params.data()};
    kernel->Launch(step.grid, step.block, step.cluster, step.shared_bytes, params, {});
  }
};

}  // namespace

std::vector<Contestant> ConfigsOf(Engine& engine, const Case& c, const Operands& x) {
  const GemmProblem problem = ProblemOf(c);
  const CodeTarget target = engine.devices().Get(DeviceId{}).targets().front();
  GemmArgs args;
  args.a = Tensor(x.a, c.a_type, {c.m, c.k});
  args.b = c.b_transposed ? Tensor(x.b, c.b_type, {c.n, c.k}).Transposed() : Tensor(x.b, c.b_type, {c.k, c.n});
  args.d = Tensor(x.d, c.d_type, {c.m, c.n});
  std::vector<Contestant> configs;
  for (const RankedConfig& ranked : engine.Explain(problem, DeviceId{}).ranked) {
    const KernelFamily& family = FindFamily(ranked.config.family);
    const auto bound = std::make_shared<Bound>();
    Contestant made{ToString(ranked.config), configs.empty() ? Role::kOurs : Role::kPeer};
    try {
      bound->kernel = engine.Compile(family.Render(problem, ranked.config, target, {}), DeviceId{});
      bound->step = family.MakeLaunch(problem, ranked.config);
      bound->step.bind(args, bound->step.params.data());
      made.run = [bound] { (*bound)(); };
    } catch (const Error& e) {
      made.why = std::string("failed: ") + e.what();
    }
    configs.push_back(std::move(made));
  }
  return configs;
}

}  // namespace gemmsmith::bench
