#pragma once

#include <memory>

#include "array.h"
#include "call.h"
#include "gemmsmith/args.h"

namespace gemmsmith::python {

/// A scalar of a call: a number, or an array of one element, which on a GPU is read when the kernel runs.
class ScalarArgument {
 public:
  Scalar Read(const char* name, PyObject* object, double otherwise);

 private:
  std::unique_ptr<Array> array_;
};

/// alpha and beta of a call.
class Scalars {
 public:
  /// Whether c is given and read. Throws Error for a beta of nothing.
  bool Read(const CallOptions& options, const Operands& operands, bool out_given, GemmArgs& args);

 private:
  ScalarArgument alpha_, beta_;
};

/// What an epilogue reads and makes, and the scales of 8-bit operands. Costs nothing where there are none.
class Extras {
 public:
  Extras();
  ~Extras();
  /// Throws Error for what is given and not read.
  void Take(const Operands& operands, const Epilogue* epilogue);
  /// Null: none.
  const Array* residual() const;
  /// `residual`: as the call reads it.
  void Bind(GemmArgs& args, const Epilogue* epilogue, const Tensor& residual);
  Tensor* bound_residual();
  bool makes_maxima() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gemmsmith::python
