#include "extras.h"

#include <nanobind/nanobind.h>

#include <string>
#include <unordered_map>

#include "epilogue_object.h"
#include "errors.h"
#include "objects.h"

namespace gemmsmith::python {
namespace {

bool Given(PyObject* object) { return object != nullptr && object != Py_None; }

/// One tensor of an epilogue: where Python gives it, where the library takes it, and who reads or makes it.
struct Operand {
  const char* name;
  PyObject* Operands::*given;
  Tensor EpilogueArgs::*taken;
  bool (*used)(const Epilogue&);
};
#define GEMMSMITH_READS(input) [](const Epilogue& e) { return e.Reads(EpilogueInput::input); }
#define GEMMSMITH_MAKES(output) [](const Epilogue& e) { return e.Makes(EpilogueOutput::output); }
constexpr Operand kOperands[] = {
    {"bias", &Operands::bias, &EpilogueArgs::bias,
     [](const Epilogue& e) { return e.Reads(EpilogueInput::kBias) || e.Reads(EpilogueInput::kPairedBias); }},
    {"bias_m", &Operands::bias_m, &EpilogueArgs::bias_m, GEMMSMITH_READS(kBiasM)},
    {"residual", &Operands::residual, &EpilogueArgs::residual, GEMMSMITH_READS(kResidual)},
    {"scale_row", &Operands::scale_row, &EpilogueArgs::scale_row, GEMMSMITH_READS(kScaleRow)},
    {"scale_column", &Operands::scale_column, &EpilogueArgs::scale_column,
     [](const Epilogue& e) {
       return e.Reads(EpilogueInput::kScaleColumn) || e.Reads(EpilogueInput::kPairedScaleColumn);
     }},
    {"scale_block", &Operands::scale_block, &EpilogueArgs::scale_block, GEMMSMITH_READS(kScaleBlock)},
    {"d_scale_row", &Operands::d_scale_row, &EpilogueArgs::d_scale_row, GEMMSMITH_READS(kDScaleRow)},
    {"d_scale_column", &Operands::d_scale_column, &EpilogueArgs::d_scale_column, GEMMSMITH_READS(kDScaleColumn)},
    {"d_scale_block", &Operands::d_scale_block, &EpilogueArgs::d_scale_block, GEMMSMITH_READS(kDScaleBlock)},
    {"amax_row", &Operands::amax_row, &EpilogueArgs::amax_row, GEMMSMITH_MAKES(kAmaxRow)},
    {"amax_column", &Operands::amax_column, &EpilogueArgs::amax_column, GEMMSMITH_MAKES(kAmaxColumn)},
    {"amax_block", &Operands::amax_block, &EpilogueArgs::amax_block, GEMMSMITH_MAKES(kAmaxBlock)},
};
#undef GEMMSMITH_READS
#undef GEMMSMITH_MAKES
constexpr std::size_t kCount = std::size(kOperands);
constexpr std::size_t kResidual = 2;

/// One value that an epilogue reads.
struct Number {
  const char* name;
  PyObject* Operands::*given;
  Scalar EpilogueArgs::*taken;
  EpilogueInput input;
};
constexpr Number kNumbers[] = {
    {"scalar", &Operands::scalar, &EpilogueArgs::scalar, EpilogueInput::kScalar},
    {"d_scale", &Operands::d_scale, &EpilogueArgs::d_scale, EpilogueInput::kDScale},
};

[[noreturn]] void NotUsed(const char* name, const Epilogue* epilogue) {
  throw Error(Code::kInvalidArgument,
              std::string("gemm: ") + name + " is given, and " +
                  (epilogue == nullptr ? "there is no epilogue" : "the epilogue does not use it"),
              "leave it out, or name an epilogue that does");
}
[[noreturn]] void NotGiven(const char* name) {
  throw Error(Code::kInvalidArgument, std::string("gemm: the epilogue uses ") + name + ", which is not given",
              std::string("give ") + name + "=");
}

}  // namespace

Scalar ScalarArgument::Read(const char* name, PyObject* object, double otherwise) {
  if (!Given(object)) return otherwise;
  if (PyFloat_Check(object) != 0) return PyFloat_AsDouble(object);
  if (PyObject* const whole = PyNumber_Index(object)) {  // NumPy's integers too
    const Ref held(whole);
    const double value = PyLong_AsDouble(whole);
    if (value == -1 && PyErr_Occurred() != nullptr) throw PythonRaised();
    return value;
  }
  PyErr_Clear();
  array_ = std::make_unique<Array>();
  array_->Take(name, object);
  std::int64_t elements = 1;
  for (const std::int64_t extent : array_->shape()) elements *= extent;
  if (elements != 1)
    throw Error(Code::kInvalidArgument,
                std::string("gemm: ") + name + " is " + array_->Describe() + "; one value is wanted");
  if (array_->device().kind == DeviceKind::kCpu) return Decode(array_->dtype(), array_->data(), 0);
  return Scalar::OnDevice(array_->data());
}

bool Scalars::Read(const CallOptions& options, const Operands& operands, bool out_given, GemmArgs& args) {
  const bool c_given = Given(operands.c);
  args.alpha = alpha_.Read("alpha", options.alpha, 1);
  args.beta = beta_.Read("beta", options.beta, c_given ? 1 : 0);
  const bool reads_c = args.beta.value != 0 || args.beta.device_pointer != nullptr;
  if (reads_c && !c_given && !out_given)
    throw Error(Code::kInvalidArgument, "gemm: beta is given, and neither c nor out",
                "give the array that beta multiplies");
  return c_given && reads_c;
}

struct Extras::State {
  Array arrays[kCount];
  ScalarArgument numbers[std::size(kNumbers)];
  Scalar values[std::size(kNumbers)];
  Array scale_a, scale_b;
  EpilogueArgs epilogue;
  ScaleArgs scales;
};

Extras::Extras() = default;
Extras::~Extras() = default;

void Extras::Take(const Operands& operands, const Epilogue* epilogue) {
  bool any = epilogue != nullptr || Given(operands.scale_a) || Given(operands.scale_b);
  for (const Operand& operand : kOperands) any = any || Given(operands.*operand.given);
  for (const Number& number : kNumbers) any = any || Given(operands.*number.given);
  if (!any) return;
  state_ = std::make_unique<State>();
  for (std::size_t i = 0; i < kCount; ++i) {
    const Operand& operand = kOperands[i];
    PyObject* const object = operands.*operand.given;
    const bool used = epilogue != nullptr && operand.used(*epilogue);
    if (Given(object) != used) used ? NotGiven(operand.name) : NotUsed(operand.name, epilogue);
    if (used) state_->arrays[i].Take(operand.name, object);
  }
  for (std::size_t i = 0; i < std::size(kNumbers); ++i) {
    PyObject* const object = operands.*kNumbers[i].given;
    const bool used = epilogue != nullptr && epilogue->Reads(kNumbers[i].input);
    if (Given(object) != used) used ? NotGiven(kNumbers[i].name) : NotUsed(kNumbers[i].name, epilogue);
    if (used) state_->values[i] = state_->numbers[i].Read(kNumbers[i].name, object, 0);
  }
  if (Given(operands.scale_a) != Given(operands.scale_b))
    throw Error(Code::kInvalidArgument, "gemm: one of scale_a and scale_b is given", "give both, or neither");
  if (Given(operands.scale_a)) {
    state_->scale_a.Take("scale_a", operands.scale_a);
    state_->scale_b.Take("scale_b", operands.scale_b);
  }
}

const Array* Extras::residual() const {
  return state_ != nullptr && state_->arrays[kResidual].given() ? &state_->arrays[kResidual] : nullptr;
}

void Extras::Bind(GemmArgs& args, const Epilogue* epilogue, const Tensor& residual) {
  if (state_ == nullptr) return;
  if (state_->scale_a.given()) {
    state_->scales = {state_->scale_a.tensor(), state_->scale_b.tensor()};
    args.scales = &state_->scales;
  }
  if (epilogue == nullptr) return;
  EpilogueArgs& e = state_->epilogue;
  e.epilogue = *epilogue;
  for (std::size_t i = 0; i < kCount; ++i)
    if (state_->arrays[i].given() && i != kResidual) e.*kOperands[i].taken = state_->arrays[i].tensor();
  e.residual = residual;
  for (std::size_t i = 0; i < std::size(kNumbers); ++i) e.*kNumbers[i].taken = state_->values[i];
  args.epilogue = &e;
}

bool Extras::makes_maxima() const {
  if (state_ == nullptr) return false;
  const EpilogueArgs& e = state_->epilogue;
  return e.amax_row.given() || e.amax_column.given() || e.amax_block.given();
}

Tensor* Extras::bound_residual() { return &state_->epilogue.residual; }

const Epilogue* EpilogueOf(PyObject* object) {
  if (!Given(object)) return nullptr;
  if (const Epilogue* const epilogue = AsEpilogue(object)) return epilogue;
  if (PyUnicode_Check(object) == 0)
    throw TypeMismatch("epilogue is a " + TypeName(Py_TYPE(object)),
                       "give a name such as \"bias+gelu\", or an Epilogue");
  static std::unordered_map<std::string, Epilogue> known;
  static nanobind::ft_mutex mutex;  // of interpreters without a GIL; else none
  const std::string name(Text(object));
  const nanobind::ft_lock_guard lock(mutex);
  auto it = known.find(name);
  if (it == known.end()) it = known.emplace(name, Epilogue::Parse(name)).first;
  return &it->second;
}

}  // namespace gemmsmith::python
