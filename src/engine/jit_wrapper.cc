#include "gemmsmith/jit_wrapper.h"

#include <utility>

#include "util/log.h"

namespace gemmsmith {
JITWrapperBase::JITWrapperBase() : options_(GlobalJITManager::Instance().GetGlobalConfig().ToOptions()) { Reopen(); }

void JITWrapperBase::Reopen() {
  engine_ = GlobalJITManager::Instance().EngineFor(options_);
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

std::shared_ptr<const JITWrapperBase::Packed> JITWrapperBase::PackedFor(const GemmArgs& args, const Weight& weight,
                                                                        Stream stream) {
  std::scoped_lock lock(*pack_mutex_);
  if (packed_ == nullptr || packed_->version != weight.version)
    packed_ = std::make_shared<Packed>(Packed{weight.version, engine_->Pack(args.b, args.d.device, stream)});
  return packed_;
}

void JITWrapperBase::Run(GemmArgs& args, DType acc_type, const Weight& weight, Stream stream) {
  if (!weight.tensor->given()) [[unlikely]]
    throw Fail(Code::kInvalidArgument, "call SetWeight first", "forward: the Gemm has no weight");
  std::shared_ptr<const Packed> packed;  // held until the launch has read it
  args.c = args.d;
  GemmProblem problem = Describe(args, acc_type);
  if (weight.prepack && problem.d_layout == Layout::kRowMajor) {
    packed = PackedFor(args, weight, stream);
    if (packed->weight) {
      args.b = packed->weight->packed;
      problem = Describe(args, acc_type);
    }
  }
  engine_->Run(problem, args, stream, auto_tune_);
}

}  // namespace gemmsmith
