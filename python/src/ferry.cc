#include "ferry.h"

#include <cstddef>
#include <deque>

namespace gemmsmith::python {
namespace {

/// Copies of host tensors on a device. What shares its first element shares its copy.
class Ferry {
 public:
  explicit Ferry(Device& device) : device_(device) {}

  void Take(Tensor& tensor) {
    if (!tensor.given()) return;
    tensor.data = There(tensor.data, BytesOf(tensor));
    tensor.device = device_.id();
  }
  void BringBack() {
    device_.Synchronize();
    for (const Copy& copy : copies_)
      if (copy.written) device_.Copy(copy.host, copy.there.data(), copy.bytes);
    device_.Synchronize();
  }
  /// Its host memory gets what the device leaves there.
  void TakeOutput(Tensor& tensor) {
    void* const host = tensor.data;
    Take(tensor);
    for (Copy& copy : copies_) copy.written = copy.written || copy.host == host;
  }

 private:
  struct Copy {
    void* host;
    std::size_t bytes;
    Buffer there;
    bool written = false;
  };

  /// From the first to past the last element.
  static std::size_t BytesOf(const Tensor& tensor) {
    std::int64_t last = 0;
    for (int i = 0; i < tensor.rank; ++i) {
      if (tensor.shape[i] == 0) return 0;
      last += (tensor.shape[i] - 1) * tensor.strides[i];
    }
    return static_cast<std::size_t>(last + 1) * SizeOf(tensor.dtype);
  }
  void* There(void* host, std::size_t bytes) {
    for (const Copy& copy : copies_)
      if (copy.host == host && copy.bytes == bytes) return copy.there.data();
    Copy& copy = copies_.emplace_back(Copy{host, bytes, device_.Allocate(bytes)});
    if (bytes != 0) device_.Copy(copy.there.data(), host, bytes);
    return copy.there.data();
  }

  Device& device_;
  std::deque<Copy> copies_;
};

}  // namespace

void MultiplyOn(Device& device, Engine& engine, const GemmArgs& args, ComputeMode compute) {
  const DType accumulator = DefaultAccumulator(args.a.dtype);
  Describe(args, accumulator, compute);  // throws for what overlaps, which copies would not
  Ferry ferry(device);
  GemmArgs there = args;
  ferry.TakeOutput(there.d);
  for (Tensor* const tensor : {&there.a, &there.b, &there.c}) ferry.Take(*tensor);
  EpilogueArgs epilogue;
  ScaleArgs scales;
  if (args.epilogue != nullptr) {
    epilogue = *args.epilogue;
    for (Tensor* const tensor :
         {&epilogue.bias, &epilogue.bias_m, &epilogue.residual, &epilogue.scale_row, &epilogue.scale_column,
          &epilogue.scale_block, &epilogue.d_scale_row, &epilogue.d_scale_column, &epilogue.d_scale_block})
      ferry.Take(*tensor);
    for (Tensor* const maxima : {&epilogue.amax_row, &epilogue.amax_column, &epilogue.amax_block})
      ferry.TakeOutput(*maxima);
    there.epilogue = &epilogue;
  }
  if (args.scales != nullptr) {
    scales = *args.scales;
    ferry.Take(scales.a);
    ferry.Take(scales.b);
    there.scales = &scales;
  }
  engine.Gemm(Describe(there, accumulator, compute), there);
  ferry.BringBack();
}

}  // namespace gemmsmith::python
