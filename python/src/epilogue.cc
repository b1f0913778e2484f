#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>

#include "bindings.h"
#include "epilogue_object.h"
#include "errors.h"
#include "gemmsmith/epilogue.h"
#include "objects.h"
#include "rows.h"
#include "traced.h"

namespace gemmsmith::python {
namespace {

nb::list InputNames(const Epilogue& epilogue) {
  nb::list names;
#define GEMMSMITH_EPILOGUE_INPUT(name, text, ...) \
  if (EpilogueInput::name != EpilogueInput::kAccumulator && epilogue.Reads(EpilogueInput::name)) names.append(text);
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_INPUT
  return names;
}

nb::list OutputNames(const Epilogue& epilogue) {
  nb::list names;
#define GEMMSMITH_EPILOGUE_OUTPUT(name, text, ...) \
  if (epilogue.Makes(EpilogueOutput::name)) names.append(EpilogueOutput::name == EpilogueOutput::kD ? "out" : text);
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_OUTPUT
  return names;
}

/// One element, by the interpreter that all kernels are compared with.
nb::dict Evaluate(const Epilogue& epilogue, float x, const nb::kwargs& inputs) {
  EpilogueElement element;
  element.accumulator = x;
  std::size_t used = 0;
#define GEMMSMITH_EPILOGUE_INPUT(name, text, type, member, ...)                                    \
  if (EpilogueInput::name != EpilogueInput::kAccumulator && epilogue.Reads(EpilogueInput::name)) { \
    if (!inputs.contains(text))                                                                    \
      throw Error(Code::kInvalidArgument, "epilogue: it reads " text ", which is not given");      \
    element.member = nb::cast<type>(inputs[text]);                                                 \
    ++used;                                                                                        \
  }
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_INPUT
  if (used != inputs.size())
    throw Error(Code::kInvalidArgument, "epilogue: something is given that it does not read", "see Epilogue.inputs");
  const EpilogueResult result = epilogue.Evaluate(element);
  nb::dict values;
#define GEMMSMITH_EPILOGUE_OUTPUT(name, text, member, ...) \
  if (epilogue.Makes(EpilogueOutput::name))                \
    values[EpilogueOutput::name == EpilogueOutput::kD ? "out" : text] = result.member;
#include "gemmsmith/epilogue.def"
#undef GEMMSMITH_EPILOGUE_OUTPUT
  return values;
}

Epilogue EpilogueFrom(nb::handle source) {
  if (nb::isinstance<nb::str>(source)) return Epilogue::Parse(nb::cast<std::string>(source));
  if (PyCallable_Check(source.ptr()) != 0) return TraceFunction(source);
  throw TypeMismatch("an epilogue is made of names such as \"bias+gelu\" or of a function, not of a " +
                     TypeName(Py_TYPE(source.ptr())));
}

constexpr const char* kDoc = R"(What is done to alpha * a @ b + beta * c before it is stored: a value.

source  names from left to right, "bias+gelu" (docs/epilogues.md), or a function of one element:
        Epilogue(lambda x, bias: (x + bias).gelu()) is the same epilogue.

The function is called once, with Values that record what is done to them. Its first parameter is the accumulator; the
others are inputs by the names by which the call gives them (bias, bias_m, residual, scalar, scale_row, scale_column,
scale_block, d_scale, d_scale_row, d_scale_column, d_scale_block), or row, column, or paired, paired_bias,
paired_scale_column of the column beside it. scale_block=(1, 128) as a default is the size of the blocks; another
parameter with a default is the function's own. It returns the value of out, or a dict that has maxima as well:
{"out": y.round_to("e4m3"), "amax_row": y}, "amax_block": (y, (1, 128)).

Raises InvalidArgument, TypeError for an `if` on a Value, and what the function raises.)";

}  // namespace

const Epilogue* AsEpilogue(PyObject* object) {
  const nb::handle handle(object);
  return nb::isinstance<Epilogue>(handle) ? nb::inst_ptr<Epilogue>(handle) : nullptr;
}

void BindEpilogue(nb::module_& m) {
  BindValue(m);
  nb::class_<Epilogue>(m, "Epilogue", kDoc)
      .def(
          "__init__", [](Epilogue* self, nb::handle source) { new (self) Epilogue(EpilogueFrom(source)); },
          nb::arg("source"),
          nb::sig("def __init__(self, source: str | collections.abc.Callable[..., typing.Any]) -> None"))
      .def_prop_ro("text", &Epilogue::text, "The canonical form, one operation per line.")
      .def_prop_ro("inputs", &InputNames, "What it reads besides the accumulator.",
                   nb::sig("def inputs(self) -> list[str]"))
      .def_prop_ro("outputs", &OutputNames, "What it makes: \"out\", and maxima.",
                   nb::sig("def outputs(self) -> list[str]"))
      .def_prop_ro("pairs_columns", &Epilogue::pairs_columns,
                   "Whether two columns of the product make one of the result.")
      .def("evaluate", &Evaluate, nb::arg("x"), nb::arg("inputs"),
           "One element by the interpreter, which every kernel is compared with: evaluate(0.5, bias=1.0)[\"out\"].",
           nb::sig("def evaluate(self, x: float, **inputs: float) -> dict[str, float]"))
      .def(
          "__eq__",
          [](const Epilogue& x, nb::handle y) {
            const Epilogue* const other = AsEpilogue(y.ptr());
            return other != nullptr && x == *other;
          },
          nb::sig("def __eq__(self, other: object) -> bool"))
      .def("__hash__", [](const Epilogue& x) { return static_cast<std::int64_t>(x.id() >> 2); })
      .def("__repr__", [](const Epilogue& x) { return "Epilogue:\n" + x.text(); });
  CopyIsItself<Epilogue>();
  m.def(
      "epilogue_names",
      [] {
        return Rows(EpilogueNames(), [](const EpilogueName& one) -> nb::dict {
          return Row().Add("name", Str(one.name)).Add("meaning", Str(one.meaning));
        });
      },
      nb::sig("def epilogue_names() -> list[dict[str, str]]"));
}

}  // namespace gemmsmith::python
