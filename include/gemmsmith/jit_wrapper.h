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
  struct Weight {
    const Tensor* tensor;
    bool prepack;
    std::uint64_t version;
  };
  /// Runs D = alpha * A * B + beta * D; `args` hold A, B as given (op applied) and D.
  void Run(GemmArgs& args, DType acc_type, const Weight& weight, Stream stream);

 private:
  struct Packed {
    std::uint64_t version;
    std::optional<Engine::PackedWeight> weight;
  };
  void Reopen();
  std::shared_ptr<const Packed> PackedFor(const GemmArgs& args, const Weight& weight, Stream stream);

  EngineOptions options_;
  std::shared_ptr<Engine> engine_;
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
    GemmArgs args;
    args.a = input, args.b = op_.weight(), args.d = output;
    if (op_.trans_a()) args.a = input.Transposed();
    if (op_.trans_b()) args.b = op_.weight().Transposed();
    args.alpha = static_cast<double>(op_.alpha());
    args.beta = static_cast<double>(op_.beta());
    CheckTypes(args);
    Run(args, Op::kAccType, {&op_.weight(), op_.prepacked(), op_.weight_version()}, stream);
  }

  Op& op() { return op_; }

 private:
  static void CheckTypes(const GemmArgs& args) {
    Require("input", args.a.dtype, Op::kAType);
    Require("weight", args.b.dtype, Op::kBType);
    Require("output", args.d.dtype, Op::kDType);
  }
  static void Require(const char* what, DType is, DType wanted) {
    if (is != wanted) [[unlikely]]
      throw Error(Code::kInvalidArgument, std::string("forward: ") + what + " has dtype " + std::string(ToString(is)) +
                                              ", the Gemm was declared with " + std::string(ToString(wanted)));
  }
  Op op_;
};

}  // namespace gemmsmith
