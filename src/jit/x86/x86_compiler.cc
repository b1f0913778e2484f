#include <asmjit/core.h>

#include <chrono>

#include "jit/compiler.h"
#include "jit/x86/micro_kernel_emitter.h"
#include "kernels/cpu_gemm.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// What both compilers of CPU kernels share: a recipe in, one artifact part out.
class RecipeCompiler : public Compiler {
 public:
  RecipeCompiler(std::string_view name, std::string version) : name_(name), version_(std::move(version)) {}
  std::string_view name() const override { return name_; }
  const std::string& version() const override { return version_; }
  const std::string& path() const override { return path_; }
  bool cheap() const override { return true; }

  Artifact Compile(const KernelSource& source, const CompileControl& control) const override {
    if (!Supports(source.target))
      throw Fail(Code::kUnsupported, "", "{}: cannot compile \"{}\" for {}", name_, source.name,
                 ToString(source.target));
    if (control.cancel.cancelled())
      throw Fail(Code::kCancelled, "", "{}: compile of \"{}\" cancelled", name_, source.name);
    const auto start = std::chrono::steady_clock::now();
    Artifact artifact;
    Make(ParseRecipe(source.text), source.target, artifact);
    artifact.kernel_name = source.name;
    artifact.lowered_name = source.entry;
    artifact.target = source.target;
    artifact.compiler = name_ + " " + version_;
    artifact.compile_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    artifact.created_unix =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    return artifact;
  }

 protected:
  virtual void Make(const MicroKernelRecipe& recipe, const CodeTarget& target, Artifact& artifact) const = 0;

 private:
  const std::string name_, version_, path_;
};

const MicroKernelEmitter& EmitterFor(const CodeTarget& target) {
  return target.version >= 512 ? Avx512Emitter() : Avx2Emitter();
}

class X86Compiler final : public RecipeCompiler {
 public:
  // The emitters change with this library alone: its own number, beside AsmJit's.
  X86Compiler() : RecipeCompiler("x86", fmt::format("11 (asmjit {:#x})", ASMJIT_LIBRARY_VERSION)) {}
  bool Supports(const CodeTarget& target) const override { return target.isa == Isa::kX86; }

 private:
  void Make(const MicroKernelRecipe& recipe, const CodeTarget& target, Artifact& artifact) const override {
    std::string part = EmitterFor(target).Emit(recipe);
    artifact.resources.code_bytes = static_cast<std::int64_t>(part.size() - sizeof(MicroKernelHeader));
    artifact.parts.emplace("x86", std::move(part));
  }
};

class BuiltinCompiler final : public RecipeCompiler {
 public:
  BuiltinCompiler() : RecipeCompiler("builtin", "1") {}
  bool Supports(const CodeTarget& target) const override { return target.isa == Isa::kPortable; }

 private:
  void Make(const MicroKernelRecipe& recipe, const CodeTarget&, Artifact& artifact) const override {
    artifact.parts.emplace("builtin", ToString(recipe));
  }
};

}  // namespace

std::string ListCode(const KernelSource& source) {
  std::string listing = fmt::format("; {} for {}\n", source.name, ToString(source.target));
  EmitterFor(source.target).Emit(ParseRecipe(source.text), &listing);
  return listing;
}

std::shared_ptr<const Compiler> OpenX86Compiler() {
  static const auto compiler = std::make_shared<const X86Compiler>();
  return compiler;
}

std::shared_ptr<const Compiler> OpenBuiltinCompiler() {
  static const auto compiler = std::make_shared<const BuiltinCompiler>();
  return compiler;
}

}  // namespace gemmsmith
