#include "ours.h"

namespace gemmsmith::bench {
namespace {

EngineOptions Options() {
  EngineOptions options;
  options.enable_disk = false;
  return options;
}

std::string_view LayoutOf(const Case& c) { return c.b_transposed ? "nt" : "nn"; }

}  // namespace

GemmProblem ProblemOf(const Case& c) {
  GemmProblem problem = MakeProblem(c.m, c.n, c.k, c.a_type, LayoutOf(c));
  SetDTypes(problem, std::string(ToString(c.a_type)) + "," + std::string(ToString(c.b_type)) + "," +
                         std::string(ToString(c.d_type)));
  if (c.packed) problem.b_layout = Layout::kPacked;
  if (!c.epilogue.empty()) SetEpilogue(problem, Epilogue::Parse(c.epilogue));
  return problem;
}

/// One call made ready, with all that it points to.
struct Ours::Call {
  GemmArgs args;
  EpilogueArgs epilogue;
  std::optional<Engine::PackedWeight> packed;
  std::optional<PreparedGemm> gemm;
};

Ours::Ours() : engine_(Options()) {}

std::unique_ptr<Ours::Call> Ours::Make(const Case& c, const Operands& x) {
  auto call = std::make_unique<Call>();
  call->args.a = Tensor(x.a, c.a_type, {c.m, c.k});
  call->args.b = c.b_transposed ? Tensor(x.b, c.b_type, {c.n, c.k}).Transposed() : Tensor(x.b, c.b_type, {c.k, c.n});
  call->args.d = Tensor(x.d, c.d_type, {c.m, c.n});
  if (c.packed) {
    call->packed = engine_.Pack(call->args.b, DeviceId{});
    if (call->packed) call->args.b = call->packed->packed;
  }
  if (!c.epilogue.empty()) {
    call->epilogue.epilogue = Epilogue::Parse(c.epilogue);
    call->epilogue.bias = Tensor(x.bias, {c.n});
    call->args.epilogue = &call->epilogue;
  }
  call->gemm = engine_.Prepare(call->args);
  return call;
}

Contestant Ours::Prepare(const Case& c, const Operands& x) {
  Contestant made{"gemmsmith", Role::kOurs};
  try {
    made.run = [call = std::shared_ptr<Call>(Make(c, x))] { call->gemm->Run(); };
  } catch (const Error& e) {
    made.why = std::string("not supported: ") + e.what();
  }
  return made;
}

Contestant Ours::PrepareBare(const Case& c, const Operands& x) {
  Case bare = c;
  bare.epilogue.clear();
  Contestant made = Prepare(bare, x);
  made.name = "gemmsmith, product alone";
  made.checked = false;
  return made;
}

Contestant Ours::PrepareUnfused(const Case& c, const Operands& x) {
  Contestant made{"gemmsmith, in two passes", Role::kOurs};
  try {
    Case bare = c;
    bare.epilogue.clear();
    const std::shared_ptr<Call> product = Make(bare, x);
    const auto pass = std::make_shared<Call>();
    pass->epilogue.epilogue = Epilogue::Parse(c.epilogue);
    pass->epilogue.bias = Tensor(x.bias, {c.n});
    pass->args.a = Tensor(x.a, c.a_type, {c.m, 0});
    pass->args.b = Tensor(x.b, c.b_type, {0, c.n});
    pass->args.c = pass->args.d = Tensor(x.d, c.d_type, {c.m, c.n});
    pass->args.beta = 1.0;
    pass->args.epilogue = &pass->epilogue;
    pass->gemm = engine_.Prepare(pass->args);
    made.run = [product, pass] {
      product->gemm->Run();
      pass->gemm->Run();
    };
  } catch (const Error& e) {
    made.why = std::string("not supported: ") + e.what();
  }
  return made;
}

std::string Ours::ConfigOf(const Case& c) const {
  try {
    return ToString(engine_.Explain(ProblemOf(c), DeviceId{}).ranked.front().config);
  } catch (const Error&) {
    return {};
  }
}

}  // namespace gemmsmith::bench
