#include "gemmsmith/prepared_gemm.h"

#include "engine/byte_range.h"
#include "engine/engine_state.h"
#include "gemmsmith/engine.h"
#include "util/log.h"

namespace gemmsmith {

PreparedGemm::PreparedGemm(Engine& engine, const GemmProblem& problem, const GemmArgs& args, const Plan& plan)
    : engine_(&engine),
      plan_(&plan),
      problem_(problem),
      epilogue_(args.epilogue == nullptr ? nullptr : std::make_shared<const EpilogueArgs>(*args.epilogue)),
      scales_(args.scales == nullptr ? nullptr : std::make_shared<const ScaleArgs>(*args.scales)),
      groups_(args.groups == nullptr ? nullptr : std::make_shared<const GroupArgs>(*args.groups)),
      args_(args),
      misaligned_((std::uintptr_t{1} << problem.alignment) - 1),
      bytes_{BytesOf(args.a), BytesOf(args.b), BytesOf(args.c.given() ? args.c : args.d), BytesOf(args.d)} {
  if (!args_.c.given()) args_.c = args_.d;
  args_.epilogue = epilogue_.get();
  args_.scales = scales_.get();
  args_.groups = groups_.get();
  if (plan.small != nullptr && !plan.swapped) small_ = plan.small->At(SmallCall::OperandsOf(args_));
}

void PreparedGemm::Run(Stream stream) const {
  if (small_ != nullptr && plan_->is_right() && !engine_->state_->profiler.enabled()) return small_->Run();
  engine_->Run(*plan_, args_, stream);
}

void PreparedGemm::Run(const void* a, const void* b, const void* c, void* d, Stream stream) const {
  if (c == nullptr) c = d;
  const auto bits = reinterpret_cast<std::uintptr_t>(a) | reinterpret_cast<std::uintptr_t>(b) |
                    reinterpret_cast<std::uintptr_t>(c) | reinterpret_cast<std::uintptr_t>(d);
  const bool meets = Meet(d, bytes_[3], a, bytes_[0]) || Meet(d, bytes_[3], b, bytes_[1]) ||
                     (c != d && Meet(d, bytes_[3], c, bytes_[2]));
  const bool is_plain = (bits & misaligned_) == 0 && !meets && a != nullptr && b != nullptr && d != nullptr &&
                        epilogue_ == nullptr && scales_ == nullptr && groups_ == nullptr;
  if (const SmallCall* const small = engine_->state_->SmallOf(*plan_); small != nullptr && is_plain)
    return small->Run(
        {a, b, c, d, args_.alpha.value, args_.beta.value, args_.alpha.device_pointer, args_.beta.device_pointer});
  GemmArgs args = args_;
  args.a.data = const_cast<void*>(a);
  args.b.data = const_cast<void*>(b);
  args.c.data = const_cast<void*>(c);
  args.d.data = d;
  if (!is_plain) [[unlikely]]
    CheckAgain(args);
  engine_->Run(*plan_, args, stream);
}

/// In full: what seemed wrong may be two matrices side by side in a wider one.
void PreparedGemm::CheckAgain(const GemmArgs& args) const {
  const GemmProblem given = Describe(args, problem_.acc_type, problem_.compute);
  if (given.alignment < problem_.alignment)
    throw Fail(Code::kInvalidArgument, "prepare the call with the least aligned pointers",
               "prepared gemm: pointers are multiples of {} bytes; it was prepared for {}", 1 << given.alignment,
               1 << problem_.alignment);
}

}  // namespace gemmsmith
