#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>

#include "array.h"
#include "bindings.h"
#include "engine_access.h"
#include "gemmsmith/kernel.h"
#include "objects.h"
#include "rows.h"

namespace gemmsmith::python {
namespace {

/// The values of a launch's parameters, as C passes them.
class Parameters {
 public:
  void Add(PyObject* value) {
    if (PyBool_Check(value) != 0) return AddBytes(value == Py_True);
    if (PyLong_Check(value) != 0) return AddBytes(static_cast<long long>(Whole(value)));
    if (PyFloat_Check(value) != 0) return AddBytes(PyFloat_AsDouble(value));
    Array& array = arrays_.emplace_back();
    array.Take("a parameter", value);
    // A scalar of NumPy goes by value, an array by its address.
    const bool scalar = array.rank() == 0 && array.device().kind == DeviceKind::kCpu;
    if (!scalar) return AddBytes(array.data());
    std::memcpy(values_.emplace_back().data(), array.data(), SizeOf(array.dtype()));
  }
  std::vector<void*> Pointers() {
    std::vector<void*> pointers;
    for (auto& value : values_) pointers.push_back(value.data());
    return pointers;
  }

 private:
  static long long Whole(PyObject* value) {
    const long long number = PyLong_AsLongLong(value);
    if (number == -1 && PyErr_Occurred() != nullptr) throw PythonRaised();
    return number;
  }
  template <class Value>
  void AddBytes(Value value) {
    std::memcpy(values_.emplace_back().data(), &value, sizeof value);
  }

  std::deque<Array> arrays_;
  std::deque<std::array<char, 8>> values_;
};

Dim3 DimOf(nb::handle extents) {
  Dim3 dim;
  if (nb::isinstance<nb::int_>(extents)) {
    dim.x = nb::cast<std::uint32_t>(extents);
    return dim;
  }
  const std::vector<std::uint32_t> all = nb::cast<std::vector<std::uint32_t>>(extents);
  if (all.empty() || all.size() > 3)
    throw Error(Code::kInvalidArgument, "a grid or block has " + std::to_string(all.size()) + " extents",
                "give 1 to 3");
  dim.x = all[0];
  if (all.size() > 1) dim.y = all[1];
  if (all.size() > 2) dim.z = all[2];
  return dim;
}

/// A user's own source: compiled when made, loaded when first launched.
class UserKernel {
 public:
  UserKernel(const std::string& source, const std::string& name, const std::string& arch, const std::string& device,
             const std::vector<std::pair<std::string, std::string>>& headers, bool fast_math, bool line_info)
      : engine_(CurrentEngine()) {
    if (!device.empty()) {
      device_ = ParseDeviceId(device);
    } else if (arch.empty()) {
      device_ = engine_->devices().Best().id();
    }
    if (device_ && device_->kind == DeviceKind::kCuda) UseCuda();
    source_.name = source_.entry = name;
    source_.text = source;
    source_.target = arch.empty() ? engine_->devices().Get(*device_).targets().front() : ParseTarget(arch);
    for (const auto& [file, text] : headers) source_.headers.push_back({file, text});
    source_.options = engine_->options().compile;
    source_.options.fast_math = source_.options.fast_math || fast_math;
    source_.options.line_info = source_.options.line_info || line_info;
    cubin_ = Interruptibly([&](const CancellationToken& cancel) { return engine_->Emit(source_, "cubin", cancel); });
  }

  void Launch(nb::handle grid, nb::handle block, nb::handle arguments, std::uint32_t shared_bytes, nb::handle cluster,
              nb::handle stream) {
    const std::shared_ptr<const Kernel> kernel = Loaded();
    Parameters parameters;
    for (const nb::handle one : nb::iter(arguments)) parameters.Add(one.ptr());
    const Dim3 blocks = DimOf(grid), threads = DimOf(block), clusters = Given(cluster) ? DimOf(cluster) : Dim3{};
    const Stream on = Given(stream) ? StreamOfObject(stream.ptr()) : Stream{};
    const std::vector<void*> pointers = parameters.Pointers();
    const WithoutGil others;
    kernel->Launch(blocks, threads, clusters, shared_bytes, pointers, on);
  }
  nb::dict Resources() {
    const KernelResources& r = Loaded()->resources();
    return Row()
        .Add("registers", r.registers)
        .Add("spill_bytes", r.spill_bytes)
        .Add("static_shared_bytes", r.static_shared_bytes)
        .Add("max_threads", r.max_threads)
        .Add("code_bytes", r.code_bytes);
  }
  std::string Part(const std::string& part) { return part == "cubin" ? cubin_ : engine_->Emit(source_, part); }
  const std::string& name() const { return source_.name; }
  std::string arch() const { return ToString(source_.target); }

 private:
  std::shared_ptr<const Kernel> Loaded() {
    if (!device_)
      throw Error(Code::kUnsupported, "kernel " + source_.name + " was compiled for " + arch() + ", for no device",
                  "give jit a device to launch it on");
    {
      const nb::ft_lock_guard lock(mutex_);
      if (kernel_ != nullptr) return kernel_;
    }
    auto made =
        Interruptibly([&](const CancellationToken& cancel) { return engine_->Compile(source_, *device_, cancel); });
    const nb::ft_lock_guard lock(mutex_);
    if (kernel_ == nullptr) kernel_ = std::move(made);  // another thread may have been here meanwhile
    return kernel_;
  }

  std::shared_ptr<Engine> engine_;
  std::optional<DeviceId> device_;
  KernelSource source_;
  std::string cubin_;
  std::shared_ptr<const Kernel> kernel_;
  nb::ft_mutex mutex_;  ///< Of interpreters without a GIL; else none.
};

std::vector<std::pair<std::string, std::string>> Headers(nb::handle headers) {
  std::vector<std::pair<std::string, std::string>> pairs;
  if (!Given(headers)) return pairs;
  for (const auto& [file, text] : nb::cast<nb::dict>(headers))
    pairs.emplace_back(nb::cast<std::string>(file), nb::cast<std::string>(text));
  return pairs;
}

constexpr const char* kLaunchDoc =
    R"(Launches the kernel. grid, block, cluster: an int or up to three. args: arrays go by address;
bool, int and float as bool, long long and double; NumPy's scalars as what they are.)";

}  // namespace

void BindKernel(nb::module_& m) {
  nb::class_<UserKernel>(m, "Kernel", "A kernel of a user's own CUDA source, made by jit.")
      .def("__call__", &UserKernel::Launch, nb::arg("grid"), nb::arg("block"), nb::arg("args"), nb::kw_only(),
           nb::arg("shared_bytes") = 0, nb::arg("cluster") = nb::none(), nb::arg("stream") = nb::none(), kLaunchDoc,
           nb::sig("def __call__(self, grid: int | tuple[int, ...], block: int | tuple[int, ...], "
                   "args: collections.abc.Sequence[typing.Any], *, shared_bytes: int = 0, "
                   "cluster: int | tuple[int, ...] | None = None, stream: typing.Any = None) -> None"))
      .def_prop_ro("resources", &UserKernel::Resources, "Registers per thread and the like.",
                   nb::sig("def resources(self) -> dict[str, int]"))
      .def_prop_ro("cubin",
                   [](UserKernel& self) {
                     const std::string bytes = self.Part("cubin");
                     return nb::bytes(bytes.data(), bytes.size());
                   })
      .def_prop_ro("ptx", [](UserKernel& self) { return self.Part("ptx"); })
      .def_prop_ro("name", &UserKernel::name)
      .def_prop_ro("arch", &UserKernel::arch)
      .def("__repr__", [](const UserKernel& self) { return "Kernel(" + self.name() + ", " + self.arch() + ")"; });
  m.def(
      "jit",
      [](const std::string& source, const std::string& name, const std::string& arch, const std::string& device,
         nb::handle headers, bool fast_math, bool line_info) {
        return std::make_unique<UserKernel>(source, name, arch, device, Headers(headers), fast_math, line_info);
      },
      nb::arg("source"), nb::arg("name"), nb::kw_only(), nb::arg("arch") = "", nb::arg("device") = "",
      nb::arg("headers") = nb::none(), nb::arg("fast_math") = false, nb::arg("line_info") = false,
      "Compiles CUDA C++ through the library's compilers and cache. `name`: an extern \"C\" kernel, or an expression "
      "such "
      "as \"Scale<float>\". For `arch` (\"sm_90a\", no GPU needed), or for a device, the best one by default. "
      "`headers`: "
      "what the source may include, by name. A CompileError has the compiler's log.",
      nb::sig("def jit(source: str, name: str, *, arch: str = '', device: str = '', "
              "headers: dict[str, str] | None = None, fast_math: bool = False, line_info: bool = False) -> Kernel"));
}

}  // namespace gemmsmith::python
