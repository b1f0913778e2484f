#include "traced.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <limits>
#include <string>

#include "array.h"
#include "bindings.h"
#include "errors.h"
#include "objects.h"

namespace gemmsmith::python {
namespace {

using OfTwo = Value (*)(const Value&, const Value&);

template <OfTwo kFunction>
Value Apply(const Value& x, nb::handle y) {
  return kFunction(x, ValueOf(y));
}
template <OfTwo kFunction>
Value ApplyReflected(const Value& x, nb::handle y) {
  return kFunction(ValueOf(y), x);
}

/// What a function may take besides the accumulator, by the name of its parameter.
struct InputRow {
  const char* name;
  bool per_block;
  Value (*make)(EpilogueBlock);
};
template <Value (Inputs::*kGet)() const>
Value Plain(EpilogueBlock) {
  return (Inputs().*kGet)();
}
template <Value (Inputs::*kGet)(EpilogueBlock) const>
Value PerBlock(EpilogueBlock block) {
  return (Inputs().*kGet)(block);
}
constexpr InputRow kInputs[] = {
    {"paired", false, Plain<&Inputs::Paired>},
    {"bias", false, Plain<&Inputs::Bias>},
    {"paired_bias", false, Plain<&Inputs::PairedBias>},
    {"bias_m", false, Plain<&Inputs::BiasM>},
    {"residual", false, Plain<&Inputs::Residual>},
    {"scalar", false, Plain<&Inputs::Scalar>},
    {"scale_row", false, Plain<&Inputs::ScaleRow>},
    {"scale_column", false, Plain<&Inputs::ScaleColumn>},
    {"paired_scale_column", false, Plain<&Inputs::PairedScaleColumn>},
    {"scale_block", true, PerBlock<&Inputs::ScaleBlock>},
    {"d_scale", false, Plain<&Inputs::DScale>},
    {"d_scale_row", false, Plain<&Inputs::DScaleRow>},
    {"d_scale_column", false, Plain<&Inputs::DScaleColumn>},
    {"d_scale_block", true, PerBlock<&Inputs::DScaleBlock>},
    {"row", false, Plain<&Inputs::Row>},
    {"column", false, Plain<&Inputs::Column>},
};

[[noreturn]] void Refuse(const std::string& what, std::string remedy = {}) {
  throw Error(Code::kInvalidArgument, "epilogue: " + what, std::move(remedy));
}

const InputRow* FindInput(const std::string& name) {
  for (const InputRow& row : kInputs)
    if (name == row.name) return &row;
  return nullptr;
}

[[noreturn]] void NoSuchInput(const std::string& name) {
  std::string there_are;
  for (const InputRow& row : kInputs) there_are += (there_are.empty() ? "" : ", ") + std::string(row.name);
  Refuse("the function's parameter \"" + name + "\" is no input: there are " + there_are,
         "give a parameter of your own a default");
}

EpilogueBlock BlockOf(nb::handle block) {
  std::pair<std::int32_t, std::int32_t> extents;
  if (!nb::try_cast(block, extents))
    Refuse("a block is a " + TypeName(Py_TYPE(block.ptr())), "give its rows and columns: (1, 128)");
  return {extents.first, extents.second};
}

/// What the parameters after the first name. Those with a default that are no inputs are the function's own.
nb::dict InputsOf(nb::handle function) {
  const nb::object inspect = nb::module_::import_("inspect");
  const nb::object parameter_class = inspect.attr("Parameter"), empty = parameter_class.attr("empty");
  nb::dict inputs;
  bool first = true;
  for (const nb::handle parameter : nb::iter(inspect.attr("signature")(function).attr("parameters").attr("values")())) {
    const bool is_first = std::exchange(first, false);
    const nb::object kind = parameter.attr("kind");
    if (kind.equal(parameter_class.attr("VAR_POSITIONAL")) || kind.equal(parameter_class.attr("VAR_KEYWORD")))
      Refuse("the function takes * or **", "name what it reads: (x, bias)");
    if (is_first) continue;
    const std::string name = nb::cast<std::string>(parameter.attr("name"));
    const nb::object otherwise = parameter.attr("default");
    const InputRow* const row = FindInput(name);
    if (row == nullptr && otherwise.is(empty)) NoSuchInput(name);
    if (row == nullptr) continue;
    if (!otherwise.is(empty) && !row->per_block)
      Refuse("the input \"" + name + "\" has a default", "only the size of a block is given so: scale_block=(1, 128)");
    inputs[name.c_str()] = row->make(otherwise.is(empty) ? EpilogueBlock{} : BlockOf(otherwise));
  }
  if (first) Refuse("the function takes nothing", "its first parameter is the accumulator: lambda x: x.relu()");
  return inputs;
}

/// A value, or several by the names of what they are stored in.
Outputs OutputsOf(nb::handle returned) {
  if (!nb::isinstance<nb::dict>(returned)) return Outputs(ValueOf(returned));
  const nb::dict all = nb::cast<nb::dict>(returned);
  if (!all.contains("out")) Refuse("the function returned a dict without \"out\"");
  Outputs outputs(ValueOf(all["out"]));
  for (const auto& [key, given] : all) {
    const std::string name = nb::cast<std::string>(key);
    nb::object value = nb::borrow(given), block;
    if (name == "amax_block" && nb::isinstance<nb::tuple>(value) && nb::len(value) == 2) {
      block = value[1];
      value = nb::object(value[0]);
    }
    if (name == "amax_row") {
      outputs.AmaxRow(ValueOf(value));
    } else if (name == "amax_column") {
      outputs.AmaxColumn(ValueOf(value));
    } else if (name == "amax_block") {
      outputs.AmaxBlock(ValueOf(value), block.is_valid() ? BlockOf(block) : EpilogueBlock{});
    } else if (name != "out") {
      Refuse("the function returned a \"" + name + "\": there are out, amax_row, amax_column, amax_block");
    }
  }
  return outputs;
}

}  // namespace

Value ValueOf(nb::handle object) {
  if (nb::isinstance<Value>(object)) return *nb::inst_ptr<Value>(object);
  PyObject* const number = object.ptr();
  if (PyBool_Check(number) == 0 && PyIndex_Check(number) != 0) {
    const Ref whole(PyNumber_Index(number));
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(whole.get(), &overflow);
    using Limits = std::numeric_limits<std::int32_t>;
    if (overflow != 0 || value < Limits::min() || value > Limits::max())
      Refuse("a whole number of more than 32 bits", "write it with a point");
    return static_cast<std::int32_t>(value);
  }
  if (PyFloat_Check(number) != 0 || (PyBool_Check(number) == 0 && PyNumber_Check(number) != 0)) {
    const Ref real(PyNumber_Float(number));
    return PyFloat_AsDouble(real.get());
  }
  throw TypeMismatch("epilogue: a " + TypeName(Py_TYPE(number)) + " is no value of an element",
                     "give a number, or what is made of the function's parameters");
}

Epilogue TraceFunction(nb::handle function) {
  const nb::dict inputs = InputsOf(function);
  return Epilogue(OutputsOf(function(TracedAccumulator(), **inputs)));
}

#define GEMMSMITH_OPERATOR(name, function)                                                                \
  def("__" name "__", &Apply<function>, nb::sig("def __" name "__(self, other: Value | float) -> Value")) \
      .def("__r" name "__", &ApplyReflected<function>, nb::sig("def __r" name "__(self, other: float) -> Value"))
#define GEMMSMITH_COMPARISON(name, function) \
  def("__" name "__", &Apply<function>, nb::sig("def __" name "__(self, other: Value | float) -> Value"))
// By object's own signature, which type checkers hold every class to.
#define GEMMSMITH_EQUALITY(name, function) \
  def("__" name "__", &Apply<function>, nb::sig("def __" name "__(self, other: object) -> typing.Any"))

void BindValue(nb::module_& m) {
  constexpr const char* kDoc = R"(A number of one element while a function is traced by Epilogue: f32, s32 or bool.

Beside numbers, + - * / - abs() round() < <= > >= == != work as on floats, & | ~ on what comparisons give.)";
  nb::class_<Value>(m, "Value", kDoc)
      .GEMMSMITH_OPERATOR("add", operator+)
      .GEMMSMITH_OPERATOR("sub", operator-)
      .GEMMSMITH_OPERATOR("mul", operator*)
      .GEMMSMITH_OPERATOR("truediv", operator/)
      .GEMMSMITH_COMPARISON("lt", operator<)
      .GEMMSMITH_COMPARISON("le", operator<=)
      .GEMMSMITH_COMPARISON("gt", operator>)
      .GEMMSMITH_COMPARISON("ge", operator>=)
      .GEMMSMITH_COMPARISON("and", operator&&)
      .GEMMSMITH_COMPARISON("or", operator||)
      .GEMMSMITH_EQUALITY("eq", operator==)
      .GEMMSMITH_EQUALITY("ne", operator!=)
      .def("__neg__", [](const Value& x) { return -x; })
      .def("__invert__", [](const Value& x) { return !x; })
      .def("__abs__", &Abs)
      .def("__round__", &Round)
      .def("__bool__",
           [](const Value&) -> bool {
             throw TypeMismatch(
                 "epilogue: a traced value is neither true nor false: the function runs once, for all elements",
                 "condition.select(x, y) in place of if; x.maximum(y), x.minimum(y); & | ~ in place of and, or, not");
           })
      .def(
          "select", [](const Value& c, nb::handle x, nb::handle y) { return Select(c, ValueOf(x), ValueOf(y)); },
          nb::arg("x"), nb::arg("y"), "x where this is true, else y: (x < 0).select(0, x).",
          nb::sig("def select(self, x: Value | float, y: Value | float) -> Value"))
      .def(
          "fma", [](const Value& x, nb::handle y, nb::handle z) { return Fma(x, ValueOf(y), ValueOf(z)); },
          nb::arg("y"), nb::arg("z"), "This * y + z, rounded once.",
          nb::sig("def fma(self, y: Value | float, z: Value | float) -> Value"))
      .def("minimum", &Apply<&Min>, nb::arg("y"), "NaN if either is; -0 is less than +0.",
           nb::sig("def minimum(self, y: Value | float) -> Value"))
      .def("maximum", &Apply<&Max>, nb::arg("y"), "NaN if either is; -0 is less than +0.",
           nb::sig("def maximum(self, y: Value | float) -> Value"))
      .def("sqrt", &Sqrt, "The square root.")
      .def("rsqrt", &Rsqrt, "1 / the square root.")
      .def("recip", &Recip, "1 / this.")
      .def("exp", &Exp, "e to the power of this.")
      .def("log", &Log, "The natural logarithm.")
      .def("tanh", &Tanh, "The hyperbolic tangent.")
      .def("erf", &Erf, "The error function.")
      .def("to_f32", &ToF32, "Of an s32.")
      .def("to_s32", &ToS32, "Of an f32: towards zero; saturates, and NaN becomes 0.")
      .def(
          "round_to", [](const Value& x, nb::handle dtype) { return RoundTo(DTypeOfObject(dtype.ptr()), x); },
          nb::arg("dtype"), "The nearest value of f16, bf16, e4m3, e5m2, s8 or u8, ties to even, as an f32.",
          nb::sig("def round_to(self, dtype: typing.Any) -> Value"))
      .def("relu", &Relu, "x < 0 ? 0 : x.")
      .def("gelu", &Gelu, "x / 2 * (1 + erf(x / sqrt(2))).")
      .def("gelu_tanh", &GeluTanh, "x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).")
      .def("sigmoid", &Sigmoid, "1 / (1 + exp(-x)).")
      .def("silu", &Silu, "x / (1 + exp(-x)).")
      .def("swiglu", &Apply<&Swiglu>, nb::arg("linear"), "silu(x) * linear.",
           nb::sig("def swiglu(self, linear: Value | float) -> Value"))
      // NumPy's scalars then leave the operators to this class.
      .attr("__array_ufunc__") = nb::none();
}

}  // namespace gemmsmith::python
