#include "call.h"

#include <algorithm>
#include <array>
#include <string>

#include "engine_access.h"
#include "errors.h"
#include "extras.h"
#include "ferry.h"
#include "objects.h"
#include "packed.h"

namespace gemmsmith::python {
namespace {

using Extents = std::array<std::int64_t, Array::kMaxRank>;

/// One operand as matmul sees it: matrices of the same size, and where they lie.
struct Stack {
  Tensor matrix;        ///< Of rank 2, the first one.
  int batch_rank = 0;   ///< Of the array: what comes before rows and columns.
  Extents batch, step;  ///< Of the result's batch dimensions, once spread: step 0 where the array has one for all.
};

Stack StackOf(const Array& array, bool transposed, bool is_b) {
  const int rank = array.rank();
  if (rank == 0) [[unlikely]]
    throw Error(Code::kInvalidArgument, std::string("gemm: ") + array.name() + " is a scalar",
                "multiply by it, or use alpha");
  Stack s;
  Tensor& t = s.matrix;
  t.data = array.data(), t.dtype = array.dtype(), t.device = array.device(), t.read_only = array.read_only();
  t.rank = 2;
  if (rank == 1) [[unlikely]] {  // a row of A, a column of B
    t.shape = {1, array.shape()[0], 0};
    t.strides = {array.shape()[0], array.strides()[0], 0};
    if (is_b) t = t.Transposed();
    return s;
  }
  t.shape = {array.shape()[rank - 2], array.shape()[rank - 1], 0};
  t.strides = {array.strides()[rank - 2], array.strides()[rank - 1], 0};
  if (transposed) t = t.Transposed();
  s.batch_rank = rank - 2;
  for (int i = 0; i < rank - 2; ++i) s.batch[i] = array.shape()[i], s.step[i] = array.strides()[i];
  return s;
}

/// The batch dimensions of the result, by numpy's rules of broadcasting.
struct Batch {
  int rank = 0;
  Extents extents;

  bool Widen(const Stack& s) {
    const int wider = std::max(rank, s.batch_rank);
    Extents all{};
    for (int i = 1; i <= wider; ++i) {
      const std::int64_t x = i <= rank ? extents[rank - i] : 1;
      const std::int64_t y = i <= s.batch_rank ? s.batch[s.batch_rank - i] : 1;
      if (x != y && x != 1 && y != 1) return false;
      all[wider - i] = x == 1 ? y : x;
    }
    rank = wider, extents = all;
    return true;
  }
  void Spread(Stack& s) const {
    Extents step;
    for (int i = 1; i <= rank; ++i) {
      const bool has = i <= s.batch_rank && s.batch[s.batch_rank - i] != 1;
      step[rank - i] = has ? s.step[s.batch_rank - i] : 0;
    }
    s.step = step, s.batch = extents, s.batch_rank = rank;
  }
};

/// Makes neighbouring dimensions one where that is the same for all, then the last one the library's batch.
void Fold(Batch& batch, std::span<Stack* const> stacks) {
  int kept = 0;
  for (int i = 1; i < batch.rank; ++i) {
    if (batch.extents[i] == 1) continue;
    const bool together = batch.extents[kept] == 1 || std::ranges::all_of(stacks, [&](const Stack* s) {
                            return s->step[kept] == s->step[i] * batch.extents[i];
                          });
    if (together) {
      batch.extents[kept] *= batch.extents[i];
    } else {
      batch.extents[++kept] = batch.extents[i];
    }
    for (Stack* s : stacks) s->step[kept] = s->step[i];
  }
  batch.rank = kept;  // the outer ones; the last is in the tensors
  for (Stack* s : stacks) {
    Tensor& t = s->matrix;
    t.rank = 3;
    t.shape = {batch.extents[kept], t.shape[0], t.shape[1]};
    t.strides = {s->step[kept], t.strides[0], t.strides[1]};
  }
}

/// Of floats by floats, f64 by f64, integers by integers there are kernels; of others never.
int Kind(DType dtype) { return dtype == DType::kF64 ? 1 : Info(dtype).is_integer() ? 2 : 0; }

std::string Both(const char* operation, const Array& a, const Array& b) {
  return std::string(operation) + ": a is " + a.Describe() + ", b is " + b.Describe();
}

/// One call, from what Python gave to what the engine takes.
class Call {
 public:
  Call(const CallOptions& options, const Operands& operands) : options_(options), operands_(operands) {}

  PyObject* Run(PyObject* a, PyObject* b, PyObject* out) {
    TakeOperands(a, b);
    const bool given = out != nullptr && out != Py_None;
    ChooseScalars(given);
    Ref made;
    if (!given) made = Ref(Allocate(a_, Shape(), options_.dtype.value_or(DefaultType())));
    TakeOut(given ? out : made.get(), given);
    if (given) Py_INCREF(out);
    Ref result(given ? out : made.release());
    Launch();
    return given ? result.release() : Deliver(a_, result.release());
  }

  /// The same without running it.
  PreparedGemm Prepare(PyObject* a, PyObject* b, PyObject* out) {
    TakeOperands(a, b);
    ChooseScalars(true);
    TakeOut(out, true);
    Lower();
    if (batch_.rank > 0) Fail("stacks whose matrices are not one step apart are several calls", "bind each of them");
    if (emulated() || options_.compute != ComputeMode::kIeee)
      throw Error(Code::kUnsupported, "gemm: calls of emulated devices and of tf32 are not bound", "call the Gemm");
    const std::shared_ptr<Engine> engine = CurrentEngine();
    const Stream stream = StreamNow(operands_.stream);
    return Interruptibly([&](const CancellationToken& cancel) {
      return engine->Prepare(args_, {false, cancel, stream});
    });
  }
  bool on_gpu() const { return a_.device().kind == DeviceKind::kCuda; }
  Stream StreamNow(PyObject* stream) const { return StreamOf(stream, operands_.overlap, a_); }

 private:
  [[noreturn]] void Fail(const std::string& what, std::string remedy = {}) const {
    throw Error(Code::kInvalidArgument, Both("gemm", a_, b_) + ": " + what, std::move(remedy));
  }
  DType DefaultType() const {
    return options_.promise != nullptr ? options_.promise->problem.d_type : ResultType(a_.dtype(), b_.dtype());
  }

  bool emulated() const {
    return options_.promise != nullptr && options_.promise->device.kind == DeviceKind::kEmulator;
  }

  void TakeOperands(PyObject* a, PyObject* b) {
    a_.Take("a", a);
    sa_ = StackOf(a_, options_.transposed_a, false);
    if (const PackedWeight* const packed = AsPacked(b)) [[unlikely]] {
      b_.Take("b", b, packed->weight.packed);
      sb_.matrix = packed->weight.packed;
      if (packed->engine != CurrentEngine() || emulated())
        Fail("b was packed under other settings, or for another device", "pack it again");
    } else {
      b_.Take("b", b);
      sb_ = StackOf(b_, options_.transposed_b, true);
    }
    CheckOperands();
  }
  void CheckOperands() {
    const Tensor &a = sa_.matrix, &b = sb_.matrix;
    CheckTypes("gemm", a_, b_);
    if (a.shape[1] != b.shape[0]) [[unlikely]]
      Fail(std::to_string(a.shape[1]) + " columns by " + std::to_string(b.shape[0]) + " rows");
    if ((sa_.batch_rank != 0 || sb_.batch_rank != 0) && !(batch_.Widen(sa_) && batch_.Widen(sb_))) [[unlikely]]
      Fail("their batch dimensions cannot be broadcast together");
    columns_ = b.shape[1];
    if (options_.epilogue != nullptr && options_.epilogue->pairs_columns()) columns_ /= 2;
    if (options_.promise != nullptr) CheckPromise(*options_.promise);
  }
  void CheckPromise(const Promise& promise) const {
    const GemmProblem& p = promise.problem;
    if (sb_.matrix.shape[0] != p.k || sb_.matrix.shape[1] != p.n) [[unlikely]]
      Fail("this Gemm was made for k=" + std::to_string(p.k) + ", n=" + std::to_string(p.n));
    if (a_.dtype() != p.a_type || b_.dtype() != p.b_type) [[unlikely]]
      throw TypeMismatch(Both("gemm", a_, b_) + ": this Gemm was made for " + std::string(ToString(p.a_type)) + " by " +
                         std::string(ToString(p.b_type)));
    const DeviceId where = emulated() ? DeviceId{} : promise.device;  // no array lies on an emulated device
    if (a_.device() != where) [[unlikely]]
      Fail("a is on " + ToString(a_.device()) + ", this Gemm was made for " + ToString(promise.device));
  }

  /// Of the result, as numpy.matmul.
  std::span<const std::int64_t> Shape() {
    int rank = batch_.rank;
    std::copy_n(batch_.extents.begin(), rank, shape_.begin());
    if (a_.rank() != 1) shape_[rank++] = sa_.matrix.shape[0];
    if (b_.rank() != 1) shape_[rank++] = columns_;
    return {shape_.data(), static_cast<std::size_t>(rank)};
  }

  Stack Result(const Array& array) {
    if (!std::ranges::equal(array.shape(), Shape())) [[unlikely]] {
      std::string wanted;
      for (const std::int64_t extent : Shape()) wanted += (wanted.empty() ? "" : ", ") + std::to_string(extent);
      Fail(std::string(array.name()) + " is " + array.Describe() + ", the result is (" + wanted + ")");
    }
    Stack s;
    s.batch_rank = batch_.rank;
    for (int i = 0; i < batch_.rank; ++i) s.batch[i] = array.shape()[i], s.step[i] = array.strides()[i];
    Tensor& t = s.matrix;
    t.data = array.data(), t.dtype = array.dtype(), t.device = array.device(), t.read_only = array.read_only();
    t.rank = 2;
    t.shape = {sa_.matrix.shape[0], columns_, 0};
    int at = batch_.rank;  // a row or column that matmul drops is one element wide
    const std::int64_t row = a_.rank() != 1 ? array.strides()[at++] : columns_;
    t.strides = {row, b_.rank() != 1 ? array.strides()[at] : 1, 0};
    return s;
  }
  void TakeOut(PyObject* out, bool given) {
    out_.Take("out", out);
    CheckOut("gemm", a_, b_, out_, given);
    sd_ = Result(out_);
    if (given && options_.promise != nullptr && out_.dtype() != options_.promise->problem.d_type) [[unlikely]]
      throw TypeMismatch("gemm: out is " + out_.Describe() + ", this Gemm was made for " +
                         std::string(ToString(options_.promise->problem.d_type)));
  }

  void ChooseScalars(bool out_given) {
    if (scalars_.Read(options_, operands_, out_given, args_)) {
      c_.Take("c", operands_.c);
      sc_ = Result(c_);
    }
  }

  std::span<Stack* const> stacks() const { return {stacks_.data(), stack_count_}; }
  /// What the library takes, for the matrices of the innermost batch dimension.
  void Lower() {
    stacks_ = {&sa_, &sd_};
    stack_count_ = 2;
    if (!sb_.matrix.packed) stacks_[stack_count_++] = &sb_;  // else all of a batch share it
    if (c_.given()) stacks_[stack_count_++] = &sc_;
    extras_.Take(operands_, options_.epilogue);
    if (const Array* const residual = extras_.residual()) {
      residual_ = Result(*residual);
      stacks_[stack_count_++] = &residual_;
    }
    if (batch_.rank > 0) {
      for (Stack* s : stacks()) batch_.Spread(*s);
      Fold(batch_, stacks());
    }
    args_.a = sa_.matrix, args_.b = sb_.matrix, args_.d = sd_.matrix;
    if (c_.given()) args_.c = sc_.matrix;
    extras_.Bind(args_, options_.epilogue, residual_.matrix);
    if (batch_.rank > 0 && extras_.makes_maxima()) Fail("maxima are taken of one block of memory", "give dense arrays");
  }
  void Launch() {
    Lower();
    const Stream stream = StreamNow(operands_.stream);
    const std::shared_ptr<Engine> engine = CurrentEngine();
    const WithoutGil others;
    LaunchOuter(*engine, stream, 0);
  }
  /// The dimensions that are not folded, from the outermost on.
  void LaunchOuter(Engine& engine, Stream stream, int dimension) {
    if (dimension == batch_.rank) return LaunchOne(engine, stream);
    const auto move = [&](std::int64_t count) {
      for (const Stack* s : stacks()) {
        Tensor& t = s == &sa_   ? args_.a
                    : s == &sb_ ? args_.b
                    : s == &sd_ ? args_.d
                    : s == &sc_ ? args_.c
                                : *extras_.bound_residual();
        t.data = static_cast<char*>(t.data) + count * s->step[dimension] * static_cast<std::int64_t>(SizeOf(t.dtype));
      }
    };
    for (std::int64_t i = 0; i < batch_.extents[dimension]; ++i) {
      LaunchOuter(engine, stream, dimension + 1);
      move(1);
    }
    move(-batch_.extents[dimension]);
  }
  void LaunchOne(Engine& engine, Stream stream) {
    if (emulated()) [[unlikely]]
      return MultiplyOn(engine.devices().Get(options_.promise->device), engine, args_, options_.compute);
    if (options_.compute == ComputeMode::kIeee) return engine.Gemm(args_, stream);
    const GemmProblem problem = gemmsmith::Describe(args_, DefaultAccumulator(args_.a.dtype), options_.compute);
    engine.Gemm(problem, args_, stream);
  }

  const CallOptions& options_;
  const Operands& operands_;
  Array a_, b_, c_, out_;
  Stack sa_, sb_, sc_, sd_, residual_;
  std::array<Stack*, 5> stacks_;  ///< Those that have batch dimensions.
  std::size_t stack_count_;
  Batch batch_;
  Extents shape_;
  std::int64_t columns_ = 0;
  Scalars scalars_;
  Extras extras_;
  GemmArgs args_;
};

class BoundArrays : public BoundCall {
 public:
  BoundArrays(PyObject* a, PyObject* b, PyObject* out, const CallOptions& options, const Operands& operands)
      : options_(options), operands_(operands), engine_(CurrentEngine()), call_(options_, operands_) {
    prepared_.emplace(call_.Prepare(a, b, out));
    if (operands.stream != nullptr && operands.stream != Py_None) stream_ = call_.StreamNow(operands.stream);
    for (PyObject* const kept : {a, b, out}) Py_INCREF(kept);
    a_ = Ref(a), b_ = Ref(b), out_ = Ref(out);
  }

  PyObject* Run(PyObject* stream) const override {
    const bool as_bound = stream_ && (stream == nullptr || stream == Py_None);
    const Stream on = as_bound ? *stream_ : call_.StreamNow(stream);
    if (call_.on_gpu()) [[unlikely]]
      UseCuda();  // throws in a process that was forked since
    {
      const WithoutGil others;
      prepared_->Run(on);
    }
    Py_INCREF(out_.get());
    return out_.get();
  }

 private:
  const CallOptions options_;  // which the call refers to, as to the operands
  const Operands operands_;
  const std::shared_ptr<Engine> engine_;
  Call call_;
  std::optional<PreparedGemm> prepared_;
  std::optional<Stream> stream_;
  Ref a_, b_, out_;
};

}  // namespace

void CheckTypes(const char* operation, const Array& a, const Array& b) {
  if (Kind(a.dtype()) != Kind(b.dtype())) [[unlikely]]
    throw TypeMismatch(Both(operation, a, b) + ": no kernel multiplies these", "convert one of them");
}

void CheckOut(const char* operation, const Array& a, const Array& b, const Array& out, bool given) {
  if (given && out.library() == Library::kJax) [[unlikely]]
    throw Error(Code::kInvalidArgument, Both(operation, a, b) + ": out is an array of JAX, which nobody may write to",
                "take the array that is returned");
  if (out.read_only()) [[unlikely]]
    throw Error(Code::kInvalidArgument, Both(operation, a, b) + ": out " + out.Describe() + " is read-only");
  if (Kind(out.dtype()) == 1 && Kind(a.dtype()) != 1) [[unlikely]]
    throw TypeMismatch(Both(operation, a, b) + ", out is " + out.Describe() + ": no kernel writes this type",
                       "give an out of another dtype");
}

DType ResultType(DType a, DType b) {
  if (Info(a).is_integer()) return DType::kS32;
  return a == b ? a : DType::kF32;
}

Stream StreamOf(PyObject* stream, bool overlap, const Array& a) {
  Stream on = stream != nullptr && stream != Py_None ? StreamOfObject(stream) : CurrentStream(a);
  on.overlap = overlap;
  return on;
}

PyObject* Deliver(const Array& a, PyObject* result) {
  if (a.library() != Library::kJax) [[likely]]
    return result;
  const Ref held(result), deliver = LibraryFunction("deliver");
  return Checked(PyObject_CallFunctionObjArgs(deliver.get(), a.object(), result, nullptr));
}

std::unique_ptr<BoundCall> Bind(PyObject* a, PyObject* b, PyObject* out, const CallOptions& options,
                                const Operands& operands) {
  return std::make_unique<BoundArrays>(a, b, out, options, operands);
}

PyObject* Multiply(PyObject* a, PyObject* b, PyObject* out, const CallOptions& options, const Operands& operands) {
  return Call(options, operands).Run(a, b, out);
}

}  // namespace gemmsmith::python
