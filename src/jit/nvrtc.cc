#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "jit/compiler.h"
#include "jit/cuda_compile.h"
#include "jit/toolchain.h"
#include "util/dynamic_library.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using Clock = std::chrono::steady_clock;

// The part of NVRTC's C interface that is used here, declared anew: no toolkit is needed to build.
using Program = struct OpaqueProgram*;
using Status = int;
constexpr Status kSuccess = 0;

struct Api {
  Status (*nvrtcVersion)(int* major, int* minor);
  Status (*nvrtcGetNumSupportedArchs)(int* count);
  Status (*nvrtcGetSupportedArchs)(int* versions);
  const char* (*nvrtcGetErrorString)(Status);
  Status (*nvrtcCreateProgram)(Program*, const char* text, const char* name, int count, const char* const* headers,
                               const char* const* names);
  Status (*nvrtcDestroyProgram)(Program*);
  Status (*nvrtcCompileProgram)(Program, int count, const char* const* options);
  Status (*nvrtcAddNameExpression)(Program, const char* expression);
  Status (*nvrtcGetLoweredName)(Program, const char* expression, const char** lowered);
  Status (*nvrtcGetProgramLogSize)(Program, std::size_t*);
  Status (*nvrtcGetProgramLog)(Program, char*);
  Status (*nvrtcGetCUBINSize)(Program, std::size_t*);
  Status (*nvrtcGetCUBIN)(Program, char*);
  Status (*nvrtcGetPTXSize)(Program, std::size_t*);
  Status (*nvrtcGetPTX)(Program, char*);
  Status (*nvrtcSetFlowCallback)(Program, int (*)(void*, void*), void*);  // Null before CUDA 12.9.

  explicit Api(const DynamicLibrary& library) {
#define GEMMSMITH_BIND(name) library.Bind(name, #name)
    GEMMSMITH_BIND(nvrtcVersion), GEMMSMITH_BIND(nvrtcGetErrorString);
    GEMMSMITH_BIND(nvrtcGetNumSupportedArchs), GEMMSMITH_BIND(nvrtcGetSupportedArchs);
    GEMMSMITH_BIND(nvrtcCreateProgram), GEMMSMITH_BIND(nvrtcDestroyProgram), GEMMSMITH_BIND(nvrtcCompileProgram);
    GEMMSMITH_BIND(nvrtcAddNameExpression), GEMMSMITH_BIND(nvrtcGetLoweredName);
    GEMMSMITH_BIND(nvrtcGetProgramLogSize), GEMMSMITH_BIND(nvrtcGetProgramLog);
    GEMMSMITH_BIND(nvrtcGetCUBINSize), GEMMSMITH_BIND(nvrtcGetCUBIN);
    GEMMSMITH_BIND(nvrtcGetPTXSize), GEMMSMITH_BIND(nvrtcGetPTX);
#undef GEMMSMITH_BIND
    nvrtcSetFlowCallback = reinterpret_cast<decltype(nvrtcSetFlowCallback)>(library.Find("nvrtcSetFlowCallback"));
  }
};

/// While NVRTC parses, it has a handler of its own for SIGINT, which ends the process. What Ctrl-C does is not for a
/// library to say: the handler that was there before is put back, by a thread that looks for it, since NVRTC asks
/// nobody then.
class InterruptHandler {
 public:
  explicit InterruptHandler(const void* nvrtc_symbol) : nvrtc_(BaseOf(nvrtc_symbol)) {
    {
      const std::scoped_lock lock(mutex_);
      if (compiles_++ == 0) sigaction(SIGINT, nullptr, &before_);
    }
    watcher_ = std::jthread([this](const std::stop_token& stop) {
      for (; !stop.stop_requested(); std::this_thread::sleep_for(std::chrono::microseconds(200))) PutBack();
    });
  }
  ~InterruptHandler() {
    Parsed();
    PutBack();  // of two compiles side by side, one may have left that of the other
    const std::scoped_lock lock(mutex_);
    --compiles_;
  }
  InterruptHandler(const InterruptHandler&) = delete;

  /// NVRTC has put its own away.
  void Parsed() { watcher_.request_stop(); }

 private:
  /// Of the library that holds an address; null: none does.
  static const void* BaseOf(const void* address) {
    Dl_info info{};
    return dladdr(address, &info) != 0 ? info.dli_fbase : nullptr;
  }
  void PutBack() const {
    struct sigaction now {};
    sigaction(SIGINT, nullptr, &now);
    if (nvrtc_ == nullptr || BaseOf(reinterpret_cast<const void*>(now.sa_handler)) != nvrtc_) return;
    const std::scoped_lock lock(mutex_);
    sigaction(SIGINT, &before_, nullptr);
  }

  const void* nvrtc_;
  static inline std::mutex mutex_;
  static inline int compiles_ = 0;  // that go on: only the first finds what was there before
  static inline struct sigaction before_ {};
  std::jthread watcher_;  // the last member: it uses the others
};

/// Asked by NVRTC, from any of its threads, whether to stop. Once it says so, it keeps saying so.
class StopRequest {
 public:
  StopRequest(const CompileControl& control, InterruptHandler& handler)
      : control_(control), handler_(handler), deadline_(Clock::now() + control.timeout) {}

  static int Ask(void* self, void*) { return static_cast<StopRequest*>(self)->Stopped() ? 1 : 0; }
  bool timed_out() const { return timed_out_.load(); }

 private:
  bool Stopped() {
    handler_.Parsed();
    if (stopped_.load()) return true;
    const bool late = Clock::now() >= deadline_;
    if (!late && !control_.cancel.cancelled()) return false;
    if (late && !control_.cancel.cancelled()) timed_out_.store(true);
    stopped_.store(true);
    return true;
  }

  const CompileControl& control_;
  InterruptHandler& handler_;
  const Clock::time_point deadline_;
  std::atomic<bool> stopped_{false}, timed_out_{false};
};

/// One compile: a program, destroyed at the end of its life.
class Compilation {
 public:
  Compilation(const Api& api, const KernelSource& source) : api_(api) {
    std::vector<const char*> texts, names;
    for (const SourceHeader& header : source.headers) {
      texts.push_back(header.text.c_str());
      names.push_back(header.name.c_str());
    }
    Check(api.nvrtcCreateProgram(&program_, source.text.c_str(), "gemmsmith.cu", static_cast<int>(texts.size()),
                                 texts.data(), names.data()),
          "create program");
  }
  Compilation(const Compilation&) = delete;
  Compilation& operator=(const Compilation&) = delete;
  ~Compilation() { api_.nvrtcDestroyProgram(&program_); }

  Status Run(const KernelSource& source, const std::vector<std::string>& options, StopRequest& stop) {
    Check(api_.nvrtcAddNameExpression(program_, source.entry.c_str()), "name the entry");
    if (api_.nvrtcSetFlowCallback != nullptr)
      Check(api_.nvrtcSetFlowCallback(program_, StopRequest::Ask, &stop), "allow cancelling");
    std::vector<const char*> arguments;
    for (const std::string& option : options) arguments.push_back(option.c_str());
    return api_.nvrtcCompileProgram(program_, static_cast<int>(arguments.size()), arguments.data());
  }
  std::string LoweredName(const std::string& entry) const {
    const char* lowered = nullptr;
    Check(api_.nvrtcGetLoweredName(program_, entry.c_str(), &lowered), "find the entry's name");
    return lowered;
  }
  std::string Log() const { return Text(api_.nvrtcGetProgramLogSize, api_.nvrtcGetProgramLog, "read the log"); }
  std::string Ptx() const { return Text(api_.nvrtcGetPTXSize, api_.nvrtcGetPTX, "read the PTX"); }
  std::string Cubin() const { return Bytes(api_.nvrtcGetCUBINSize, api_.nvrtcGetCUBIN, "read the cubin"); }

 private:
  using GetSize = Status (*)(Program, std::size_t*);
  using Get = Status (*)(Program, char*);

  void Check(Status status, std::string_view what) const {
    if (status != kSuccess) throw Fail(Code::kInternal, "", "nvrtc: {}: {}", what, api_.nvrtcGetErrorString(status));
  }
  std::string Bytes(GetSize size_of, Get get, std::string_view what) const {
    std::size_t size = 0;
    Check(size_of(program_, &size), what);
    std::string bytes(size, '\0');
    if (size > 0) Check(get(program_, bytes.data()), what);
    return bytes;
  }
  /// Without the terminating zero.
  std::string Text(GetSize size_of, Get get, std::string_view what) const {
    std::string text = Bytes(size_of, get, what);
    while (!text.empty() && text.back() == '\0') text.pop_back();
    return text;
  }

  const Api& api_;
  Program program_ = nullptr;
};

class Nvrtc final : public Compiler {
 public:
  /// `builtins`: libraries that NVRTC will look up by soname; loaded already, so that they are found.
  Nvrtc(std::vector<DynamicLibrary> builtins, DynamicLibrary library)
      : builtins_(std::move(builtins)), library_(std::move(library)), api_(library_), path_(library_.path()) {
    api_.nvrtcVersion(&major_, &minor_);
    int count = 0;
    api_.nvrtcGetNumSupportedArchs(&count);
    versions_.resize(static_cast<std::size_t>(count));
    api_.nvrtcGetSupportedArchs(versions_.data());
    // The library tells no build number; its build id differs between any two builds.
    const std::string build = library_.BuildId();
    version_ = fmt::format("nvrtc {}.{}{}{}", major_, minor_, build.empty() ? "" : " build ", build.substr(0, 16));
  }

  std::string_view name() const override { return "nvrtc"; }
  const std::string& version() const override { return version_; }
  const std::string& path() const override { return path_; }
  bool Supports(const CodeTarget& target) const override {
    return target.isa == Isa::kCuda && std::find(versions_.begin(), versions_.end(), target.version) != versions_.end();
  }

  Artifact Compile(const KernelSource& source, const CompileControl& control) const override {
    RequireSupported(source, version_, versions_);
    const Clock::time_point start = Clock::now();
    InterruptHandler handler(reinterpret_cast<const void*>(api_.nvrtcCompileProgram));
    StopRequest stop(control, handler);
    Compilation compilation(api_, source);
    const Status status = compilation.Run(source, Options(source), stop);
    Artifact artifact;
    artifact.log = compilation.Log();  // before anything is thrown: it says why
    ThrowUnless(status, source, control, stop, artifact.log);
    artifact.parts["cubin"] = compilation.Cubin();
    artifact.parts["ptx"] = compilation.Ptx();
    if (artifact.parts["cubin"].empty()) ThrowCompileError(source, version_, "no cubin was made", artifact.log);
    artifact.lowered_name = compilation.LoweredName(source.entry);
    artifact.compiler = version_;
    artifact.compile_ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    CompleteArtifact(source, artifact);
    return artifact;
  }

 private:
  std::vector<std::string> Options(const KernelSource& source) const {
    std::vector<std::string> options = CudaOptions(source);
    // Less of a prelude to parse, and no cache of its own beside ours.
    if (major_ >= 13) options.insert(options.end(), {"-minimal", "-no-cache"});
    return options;
  }
  void ThrowUnless(Status status, const KernelSource& source, const CompileControl& control, const StopRequest& stop,
                   const std::string& log) const {
    if (control.cancel.cancelled()) throw Fail(Code::kCancelled, "", "compile {}: cancelled", Describe(source));
    if (status == kSuccess) return;
    if (stop.timed_out())
      ThrowCompileError(source, version_, fmt::format("took more than {} s", control.timeout.count()), log);
    ThrowCompileError(source, version_, api_.nvrtcGetErrorString(status), log);
  }

  std::vector<DynamicLibrary> builtins_;
  DynamicLibrary library_;
  Api api_;
  std::string version_, path_;
  int major_ = 0, minor_ = 0;
  std::vector<int> versions_;
};

std::shared_ptr<const Compiler> Open(const std::string& candidate) {
  std::vector<DynamicLibrary> builtins;
  if (candidate.find('/') != candidate.npos)
    for (const std::string& file : BuiltinsBeside(candidate)) builtins.emplace_back(file);
  return std::make_shared<Nvrtc>(std::move(builtins), DynamicLibrary(candidate));
}

std::shared_ptr<const Compiler> FindNvrtc() {
  const ToolSearch search = SearchNvrtc(Environment::Get());
  std::string failures;
  for (const std::string& candidate : search.candidates) {
    try {
      return Open(candidate);
    } catch (const Error& error) {
      if (candidate.find('/') != candidate.npos) failures += "; " + error.message();
    }
  }
  throw Fail(Code::kNotFound, "install the CUDA toolkit or pip's nvidia-cuda-nvrtc, or set GEMMSMITH_NVRTC",
             "NVRTC not found: looked in {}{}", search.looked_in, failures);
}

}  // namespace

std::shared_ptr<const Compiler> OpenNvrtc() {
  // Never unloaded: its own threads and exit handlers may outlive any owner. A failure is looked into anew each time.
  static const auto* const found = new std::shared_ptr<const Compiler>(FindNvrtc());
  return *found;
}

}  // namespace gemmsmith
