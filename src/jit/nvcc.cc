#include <cxxabi.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "cubin.h"
#include "jit/compiler.h"
#include "jit/cuda_compile.h"
#include "jit/toolchain.h"
#include "util/log.h"
#include "util/private_folder.h"
#include "util/subprocess.h"

namespace gemmsmith {
namespace {

using Clock = std::chrono::steady_clock;

bool IsIdentifier(std::string_view entry) {
  return entry.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == entry.npos;
}

/// What NVRTC does for a name expression: the kernel is instantiated because its address is taken.
std::string TextWithEntry(const KernelSource& source) {
  if (IsIdentifier(source.entry)) return source.text;
  return fmt::format("{}\n__attribute__((used)) static void* gemmsmith_entry = reinterpret_cast<void*>(&{});\n",
                     source.text, source.entry);
}

std::string WithoutSpaces(std::string text) {
  std::erase(text, ' ');
  return text;
}

/// "Gemm<64,64>" of "void Gemm<64, 64>(Params)", without spaces.
std::string QualifiedName(const std::string& mangled) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> demangled(
      abi::__cxa_demangle(mangled.c_str(), nullptr, nullptr, &status), std::free);
  if (status != 0) return mangled;
  std::string name = demangled.get();
  if (name.starts_with("void ")) name.erase(0, 5);
  int depth = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    depth += (name[i] == '<') - (name[i] == '>');
    if (name[i] == '(' && depth == 0) name.resize(i);
  }
  return WithoutSpaces(name);
}

/// The kernel that the source calls `entry`: by name, by demangled name, or because there is no other.
std::string FindEntry(const KernelSource& source, const std::vector<CubinKernel>& kernels) {
  std::string names;
  for (const CubinKernel& kernel : kernels) {
    if (kernel.name == source.entry || QualifiedName(kernel.name) == WithoutSpaces(source.entry)) return kernel.name;
    names += (names.empty() ? "" : ", ") + kernel.name;
  }
  if (kernels.size() == 1 && !IsIdentifier(source.entry)) return kernels[0].name;
  throw Fail(Code::kInvalidArgument, "make the entry extern \"C\", or name it as it is declared",
             "compile {}: no kernel \"{}\" among: {}", Describe(source), source.entry, names);
}

class Nvcc final : public Compiler {
 public:
  explicit Nvcc(std::string path) : path_(std::move(path)) {
    const std::string words = Ask("--version");
    std::smatch match;
    version_ = "nvcc " + (std::regex_search(words, match, std::regex("V([0-9.]+)")) ? match[1].str() : "unknown");
    if (std::regex_search(words, match, std::regex("Build ([^\\s]+)"))) version_ += " build " + match[1].str();
    const std::string codes = Ask("--list-gpu-code");
    const std::regex code("sm_([0-9]+)");
    for (std::sregex_iterator at(codes.begin(), codes.end(), code), end; at != end; ++at)
      versions_.push_back(std::stoi((*at)[1]));
    std::sort(versions_.begin(), versions_.end());
  }

  std::string_view name() const override { return "nvcc"; }
  const std::string& version() const override { return version_; }
  const std::string& path() const override { return path_; }
  bool Supports(const CodeTarget& target) const override {
    return target.isa == Isa::kCuda && std::find(versions_.begin(), versions_.end(), target.version) != versions_.end();
  }

  Artifact Compile(const KernelSource& source, const CompileControl& control) const override {
    RequireSupported(source, version_, versions_);
    const Clock::time_point start = Clock::now();
    const PrivateFolder folder;
    for (const SourceHeader& header : source.headers) folder.Write(header.name, header.text);
    folder.Write("kernel.cu", TextWithEntry(source));
    Artifact artifact;
    artifact.log = Run(source, control, folder);
    artifact.parts["cubin"] = folder.Read("kernel.cubin");
    artifact.parts["ptx"] = folder.Read("kernel.ptx");
    if (artifact.parts["cubin"].empty()) ThrowCompileError(source, version_, "no cubin was made", artifact.log);
    artifact.lowered_name = FindEntry(source, ReadCubin(artifact.parts["cubin"]));
    artifact.compiler = version_;
    artifact.compile_ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    CompleteArtifact(source, artifact);
    return artifact;
  }

 private:
  /// The compiler's words. Throws unless it succeeds.
  std::string Run(const KernelSource& source, const CompileControl& control, const PrivateFolder& folder) const {
    // --keep leaves the PTX beside the cubin, so that one run makes both.
    std::vector<std::string> arguments = {path_,
                                          "-cubin",
                                          "--keep",
                                          "--keep-dir",
                                          folder.path(),
                                          "-I",
                                          folder.path(),
                                          "-o",
                                          folder.path() / "kernel.cubin",
                                          folder.path() / "kernel.cu"};
    for (std::string& option : CudaOptions(source)) arguments.push_back(std::move(option));
    SubprocessResult result = RunSubprocess(arguments, control.timeout, [&] { return control.cancel.cancelled(); },
                                            {"TMPDIR=" + folder.path().string()});  // what it leaves behind when killed
    if (result.cancelled) throw Fail(Code::kCancelled, "", "compile {}: cancelled", Describe(source));
    if (result.timed_out)
      ThrowCompileError(source, version_, fmt::format("took more than {} s", control.timeout.count()), result.output);
    if (result.output.find("host compiler") != result.output.npos)
      ThrowCompileError(source, version_, "nvcc needs a host C++ compiler; install g++", result.output);
    if (result.exit_code != 0)
      ThrowCompileError(source, version_, fmt::format("exit code {}", result.exit_code), result.output);
    return std::move(result.output);
  }
  std::string Ask(const char* option) const {
    const SubprocessResult result = RunSubprocess({path_, option}, std::chrono::seconds(30));
    if (result.exit_code != 0)
      throw Fail(Code::kNotFound, "", "{} {} fails with exit code {}", path_, option, result.exit_code);
    return result.output;
  }

  std::string path_, version_;
  std::vector<int> versions_;
};

std::shared_ptr<const Compiler> FindNvcc() {
  const ToolSearch search = SearchNvcc(Environment::Get());
  std::string failures;
  for (const std::string& candidate : search.candidates) {
    try {
      return std::make_shared<Nvcc>(candidate);
    } catch (const Error& error) {
      failures += "; " + error.message();
    }
  }
  throw Fail(Code::kNotFound, "install the CUDA toolkit, or set GEMMSMITH_NVCC", "nvcc not found: looked in {}{}",
             search.looked_in, failures);
}

}  // namespace

std::shared_ptr<const Compiler> OpenNvcc() {
  // A failure is looked into anew each time.
  static const std::shared_ptr<const Compiler> found = FindNvcc();
  return found;
}

}  // namespace gemmsmith
