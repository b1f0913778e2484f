#include "gemmsmith/jit_wrapper.h"

#include <utility>

#include "engine/engine_state.h"
#include "engine/recent_plan.h"
#include "util/log.h"

namespace gemmsmith {
JITWrapperBase::JITWrapperBase() : options_(GlobalJITManager::Instance().GetGlobalConfig().ToOptions()) { Reopen(); }

void JITWrapperBase::Reopen() {
  engine_ = GlobalJITManager::Instance().EngineFor(options_);
  recent_ = std::make_shared<RecentPlan>();
  packed_ = nullptr;  // its form depends on the kernels that this engine may use
}

void JITWrapperBase::EnableJIT(bool on) {
  options_.enable_jit = on;
  options_.mode = on ? CompileMode::kBlocking : CompileMode::kOffline;
  Reopen();
}
bool JITWrapperBase::IsJITEnabled() const { return options_.enable_jit; }

void JITWrapperBase::EnablePersistentCache(bool on) {
  options_.enable_disk = on;
  if (on) options_.enable_caching = true;
  Reopen();
}
bool JITWrapperBase::IsPersistentCacheEnabled() const { return options_.enable_caching && options_.enable_disk; }

void JITWrapperBase::SetPersistentCacheDirectory(const std::string& directory) {
  options_.cache_dir = directory;
  Reopen();
}
std::string JITWrapperBase::GetPersistentCacheDirectory() const {
  return options_.cache_dir.empty() ? Environment::Get().cache_dir : options_.cache_dir;
}

/// Null, unless the weight is packed and has not changed since.
std::shared_ptr<const JITWrapperBase::Packed> JITWrapperBase::PackedNow(const ForwardCall& call) const {
  std::scoped_lock lock(*pack_mutex_);
  return packed_ != nullptr && packed_->version == call.weight_version ? packed_ : nullptr;
}

std::shared_ptr<const JITWrapperBase::Packed> JITWrapperBase::PackedFor(const ForwardCall& call, const GemmArgs& args,
                                                                        Stream stream) {
  std::scoped_lock lock(*pack_mutex_);
  if (packed_ == nullptr || packed_->version != call.weight_version)
    packed_ = std::make_shared<Packed>(Packed{call.weight_version, engine_->Pack(args.b, args.d.device, stream)});
  return packed_;
}

GemmArgs JITWrapperBase::ArgsOf(const ForwardCall& call, const Tensor& b) {
  GemmArgs args;
  args.a = call.trans_a ? call.input.Transposed() : call.input;
  args.b = call.trans_b && !b.packed ? b.Transposed() : b;
  args.c = args.d = call.output;
  args.alpha = call.alpha, args.beta = call.beta;
  return args;
}

void JITWrapperBase::Run(const ForwardCall& call, Stream stream) {
  std::shared_ptr<const Packed> packed;  // held until the launch has read it
  if (call.prepack) packed = PackedNow(call);
  const bool is_packed = packed != nullptr && packed->weight;
  if (!RunAgain(call, is_packed ? packed->weight->packed : call.weight, stream)) RunAnew(call, stream);
}

/// False, with nothing done, unless the call before was like this one.
bool JITWrapperBase::RunAgain(const ForwardCall& call, const Tensor& b, Stream stream) {
  Engine::State& engine = *engine_->state_;
  const Plan* const plan = recent_->Find({call, b, engine.sms.current()});
  if (plan == nullptr) return false;
  if (const SmallCall* const small = engine.SmallOf(*plan))
    small->Run({call.input.data, b.data, call.output.data, call.output.data, call.alpha, call.beta});
  else
    engine_->Run(*plan, ArgsOf(call, b), stream);
  return true;
}

namespace {

void Require(const char* what, DType is, DType wanted) {
  if (is != wanted)
    throw Fail(Code::kInvalidArgument, "", "forward: {} has dtype {}, the Gemm was declared with {}", what,
               ToString(is), ToString(wanted));
}

}  // namespace

void JITWrapperBase::RunAnew(const ForwardCall& call, Stream stream) {
  if (!call.weight.given())
    throw Fail(Code::kInvalidArgument, "call SetWeight first", "forward: the Gemm has no weight");
  Require("input", call.input.dtype, call.a_type);
  Require("weight", call.weight.dtype, call.b_type);
  Require("output", call.output.dtype, call.d_type);
  GemmArgs args = ArgsOf(call, call.weight);
  GemmProblem problem = Describe(args, call.acc_type);
  std::shared_ptr<const Packed> packed;
  if (call.prepack && problem.d_layout == Layout::kRowMajor) {
    packed = PackedFor(call, args, stream);
    if (packed->weight) {
      args.b = packed->weight->packed;
      problem = Describe(args, call.acc_type);
    }
  }
  const SmSetting& setting = engine_->state_->sms.current();
  const RecentPlan::Key key(call, args.b.packed ? args.b : call.weight, setting);
  const Plan& plan = engine_->Run(problem, args, stream, auto_tune_);
  if (&engine_->state_->sms.current() == &setting) recent_->Keep(key, plan);
}

}  // namespace gemmsmith
