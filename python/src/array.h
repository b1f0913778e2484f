#pragma once

#include <Python.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "dlpack.h"
#include "gemmsmith/stream.h"
#include "gemmsmith/tensor.h"

namespace gemmsmith::python {

/// Who made an array, and so who makes the result.
enum class Library : std::uint8_t { kNumpy, kTorch, kCupy, kJax, kBuffer, kOther };
Library LibraryOf(PyObject* object);

/// An argument that is an array, for as long as this lives: its memory stays, and stays where it is. By the buffer
/// protocol, DLPack, or, for NumPy's arrays of types that neither knows, __array_interface__.
class Array {
 public:
  static constexpr int kMaxRank = 16;

  Array() = default;
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array();

  /// `name` is for errors, and must outlive this. Throws Error and TypeMismatch, or what `object` raised.
  void Take(const char* name, PyObject* object);
  /// The same of an object of this module, which is no array but has a tensor.
  void Take(const char* name, PyObject* object, const Tensor& tensor);

  bool given() const { return object_ != nullptr; }
  PyObject* object() const { return object_; }
  Library library() const { return library_; }
  const char* name() const { return name_; }
  void* data() const { return data_; }
  DType dtype() const { return dtype_; }
  DeviceId device() const { return device_; }
  bool read_only() const { return read_only_; }
  int rank() const { return rank_; }
  std::span<const std::int64_t> shape() const { return {shape_.data(), static_cast<std::size_t>(rank_)}; }
  /// Elements.
  std::span<const std::int64_t> strides() const { return {strides_.data(), static_cast<std::size_t>(rank_)}; }
  /// As the library takes it. Throws Error for a rank above 3.
  Tensor tensor() const;
  /// "(2, 3) f32".
  std::string Describe() const;

 private:
  bool TakeBuffer();
  void TakeInterface();
  void TakeCapsule(PyObject* capsule);
  void TakeDlpack();
  bool TakeBytesOfTorch();
  void TakeTensor(const dlpack::Tensor& tensor);
  void SetDType(const char* format, Py_ssize_t item_bytes);
  void SetStrides(std::span<const std::int64_t> bytes);
  void SetOnGpu(std::int64_t index);
  void CheckRank(std::int64_t rank) const;
  void CheckStrides() const;

  const char* name_ = "";
  PyObject* object_ = nullptr;  ///< Borrowed: the caller's, but for interface_.
  void* data_ = nullptr;
  int rank_ = 0;
  DType dtype_ = DType::kF32;
  DeviceId device_{};
  Library library_ = Library::kOther;
  bool read_only_ = false;
  std::array<std::int64_t, kMaxRank> shape_, strides_;

  // What keeps the memory: at most one of these.
  bool has_buffer_ = false;
  Py_buffer buffer_;
  PyObject* interface_ = nullptr;
  dlpack::Managed* managed_ = nullptr;
  dlpack::ManagedVersioned* versioned_ = nullptr;
};

/// The dtype that an object means: "bf16", "bfloat16", a dtype of NumPy, ml_dtypes, torch, JAX or CuPy. Throws Error.
DType DTypeOfObject(PyObject* object);

/// A new array of the library that made `like`, on its device, with elements of `dtype` in rows that lie one after the
/// other. A new reference. Throws Error, or what the library raised.
PyObject* Allocate(const Array& like, std::span<const std::int64_t> shape, DType dtype);

/// What `like`'s library launches on now, where it is on a GPU.
Stream CurrentStream(const Array& like);
/// The stream that an object means: a handle as an int, or an object of torch or CuPy. Throws Error.
Stream StreamOfObject(PyObject* object);

/// Throws kDevice where CUDA was used before this process was forked; else remembers that it is used.
void UseCuda();

}  // namespace gemmsmith::python
