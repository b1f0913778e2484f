#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "array.h"
#include "gemmsmith/epilogue.h"
#include "gemmsmith/problem.h"

namespace gemmsmith::python {

/// What a call gives besides a and b, each null or None where it does not.
struct Operands {
  PyObject* c = nullptr;
  PyObject* bias = nullptr;
  PyObject* bias_m = nullptr;
  PyObject* residual = nullptr;
  PyObject* scale_row = nullptr;
  PyObject* scale_column = nullptr;
  PyObject* scale_block = nullptr;
  PyObject* scalar = nullptr;
  PyObject* d_scale = nullptr;
  PyObject* d_scale_row = nullptr;
  PyObject* d_scale_column = nullptr;
  PyObject* d_scale_block = nullptr;
  PyObject* amax_row = nullptr;
  PyObject* amax_column = nullptr;
  PyObject* amax_block = nullptr;
  PyObject* scale_a = nullptr;
  PyObject* scale_b = nullptr;
  PyObject* stream = nullptr;
  bool overlap = false;  ///< Stream::overlap.
};

/// What a Gemm was made for, and its calls must keep to.
struct Promise {
  GemmProblem problem;
  DeviceId device;
};

/// How the product is taken.
struct CallOptions {
  bool transposed_a = false, transposed_b = false;  ///< As stored: (k, m), (n, k).
  PyObject* alpha = nullptr;                        ///< A number or an array of one; null: 1.
  PyObject* beta = nullptr;                         ///< Null: 1 if c is given, else 0.
  const Epilogue* epilogue = nullptr;
  std::optional<DType> dtype = std::nullopt;  ///< Of a result that is allocated.
  ComputeMode compute = ComputeMode::kIeee;
  const Promise* promise = nullptr;
};

// What all calls have in common. `operation`: the one that errors name.
/// Throws TypeMismatch where no kernel multiplies such types.
void CheckTypes(const char* operation, const Array& a, const Array& b);
/// Throws where nobody may write to `out`, or no kernel writes its type. `given`: by the caller.
void CheckOut(const char* operation, const Array& a, const Array& b, const Array& out, bool given);
/// Of the result, where nothing says another.
DType ResultType(DType a, DType b);
/// As given, else the current one of a's library. `overlap`: Stream::overlap.
Stream StreamOf(PyObject* stream, bool overlap, const Array& a);
/// A result that was allocated for the caller, in the form that a's library has.
PyObject* Deliver(const Array& a, PyObject* result);

/// numpy.matmul of two arrays by the library, into `out` or a new array of a's library. A new reference.
PyObject* Multiply(PyObject* a, PyObject* b, PyObject* out, const CallOptions& options, const Operands& operands);

/// A call of arrays that stay where they are, checked and planned once.
class BoundCall {
 public:
  virtual ~BoundCall() = default;
  /// A new reference to out. `stream`: None for the one given before, or the current one of a's library.
  virtual PyObject* Run(PyObject* stream) const = 0;
};
std::unique_ptr<BoundCall> Bind(PyObject* a, PyObject* b, PyObject* out, const CallOptions& options,
                                const Operands& operands);

/// The epilogue that an object means: its name, an Epilogue, or None. The pointer holds as long as the process.
const Epilogue* EpilogueOf(PyObject* object);

}  // namespace gemmsmith::python
