#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "gemmsmith/engine.h"
#include "gemmsmith/error.h"
#include "gemmsmith/gemm.h"
#include "gemmsmith/manager.h"

namespace gemmsmith {

template <class Op>
class JITWrapper;
class RecentPlan;

/// What Forward is called with, and what its Gemm says.
struct ForwardCall {
  const Tensor &input, &weight, &output;
  bool trans_a, trans_b, prepack;
  double alpha, beta;
  std::uint64_t weight_version;
  DType a_type, b_type, d_type, acc_type;
};

/// What a JITWrapper needs beneath its types: an engine for its settings, and the packed weight.
class GEMMSMITH_API JITWrapperBase {
 public:
  JITWrapperBase();

  /// False: no code is generated for this wrapper; portable and cached kernels only. Default: the manager's setting.
  void EnableJIT(bool on);
  bool IsJITEnabled() const;
  /// True: at the first call of a shape the best few configs are timed on scratch operands and the fastest is kept.
  void EnableAutoTuning(bool on) { auto_tune_ = on; }
  bool IsAutoTuningEnabled() const { return auto_tune_; }
  /// Keep compiled kernels on disk, in the directory of SetPersistentCacheDirectory. Default: the manager's setting.
  void EnablePersistentCache(bool on);
  bool IsPersistentCacheEnabled() const;
  void SetPersistentCacheDirectory(const std::string& directory);
  std::string GetPersistentCacheDirectory() const;

  /// The engine this wrapper uses now.
  Engine& engine() { return *engine_; }

 protected:
  void Run(const ForwardCall& call, Stream stream);

 private:
  struct Packed {
    std::uint64_t version;
    std::optional<Engine::PackedWeight> weight;
  };
  void Reopen();
  bool RunAgain(const ForwardCall& call, const Tensor& b, Stream stream);
  void RunAnew(const ForwardCall& call, Stream stream);
  static GemmArgs ArgsOf(const ForwardCall& call, const Tensor& b);
  std::shared_ptr<const Packed> PackedNow(const ForwardCall& call) const;
  std::shared_ptr<const Packed> PackedFor(const ForwardCall& call, const GemmArgs& args, Stream stream);

  EngineOptions options_;
  std::shared_ptr<Engine> engine_;
  std::shared_ptr<RecentPlan> recent_;  ///< One of engine_'s.
  bool auto_tune_ = false;
  std::shared_ptr<std::mutex> pack_mutex_ = std::make_shared<std::mutex>();
  std::shared_ptr<const Packed> packed_;
};

/// Runs a Gemm through the engine: planned once per shape, a lookup and a launch from then on. Forward may be called
/// from several threads at once; the setters may not run beside it.
template <class TA, class TB, class TD, class TAcc>
class JITWrapper<Gemm<TA, TB, TD, TAcc>> : public JITWrapperBase {
 public:
  using Op = Gemm<TA, TB, TD, TAcc>;
  explicit JITWrapper(Op op) : op_(std::move(op)) {}

  /// output = alpha * op(input) * op(weight) + beta * output, for input (m, k) or (k, m) if trans_a, output (m, n).
  /// Throws before anything is launched, with the output untouched.
  void Forward(const Tensor& input, const Tensor& output, Stream stream = {}) {
    Run({input, op_.weight(), output, op_.trans_a(), op_.trans_b(), op_.prepacked(), static_cast<double>(op_.alpha()),
         static_cast<double>(op_.beta()), op_.weight_version(), Op::kAType, Op::kBType, Op::kDType, Op::kAccType},
        stream);
  }

  Op& op() { return op_; }

 private:
  Op op_;
};

}  // namespace gemmsmith
