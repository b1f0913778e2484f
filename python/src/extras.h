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
