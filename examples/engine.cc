// The engine beneath: describe, explain, prepare, call, and check against a float64 reference.
#include <cstdio>

#include "gemmsmith/gemmsmith.h"

using namespace gemmsmith;

int main() {
  Engine engine;
  GemmProblem problem = MakeProblem(/*m=*/64, /*n=*/96, /*k=*/160, DType::kF32, "nt");

  const Explanation why = engine.Explain(problem, DeviceId{});
  std::printf("%s on %s: %s, predicted %.1f us, limited by %s\n", ToString(problem).c_str(), why.device.c_str(),
              ToString(why.ranked[0].config).c_str(), why.ranked[0].microseconds, why.ranked[0].limiting.c_str());

  const PlanInfo plan = engine.Prepare(problem, DeviceId{});  // plans and compiles; launches nothing
  std::printf("kernel %s: %s in %.3f ms\n", plan.kernels[0].name.c_str(),
              std::string(ToString(plan.kernels[0].origin)).c_str(), plan.kernels[0].obtain_ms);

  HostTensor<float> a(64, 160), b(96, 160), d(64, 96);
  FillRandom(a, 1);
  FillRandom(b, 2);
  Poison(d);
  GemmArgs args;
  args.a = a;
  args.b = Tensor(b).Transposed();  // (k, n), stored as (n, k)
  args.d = d;
  engine.Gemm(args);

  const VerifyReport report = Verify(problem, args, /*c_before=*/{});
  std::printf("largest error %.2e of %.2e allowed\n", report.max_error, report.tolerance);
  return report.ok ? 0 : 1;
}
