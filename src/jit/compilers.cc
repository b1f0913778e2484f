#include "jit/compiler.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

std::shared_ptr<const Compiler> FindCudaCompiler(const CodeTarget& target) {
  std::string reasons;
  for (const auto open : {OpenNvrtc, OpenNvcc}) {
    try {
      std::shared_ptr<const Compiler> compiler = open();
      if (compiler->Supports(target)) return compiler;
      reasons += fmt::format("{}{} does not know it", reasons.empty() ? "" : "; ", compiler->version());
    } catch (const Error& error) {
      if (error.code() != Code::kNotFound) throw;
      reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", error.what());
    }
  }
  throw Fail(Code::kNotFound, "", "no compiler for {}: {}", ToString(target), reasons);
}

}  // namespace

std::shared_ptr<const Compiler> FindCompiler(const CodeTarget& target, std::string_view name) {
  switch (target.isa) {
    case Isa::kPortable:
      return OpenBuiltinCompiler();
    case Isa::kX86:
      return OpenX86Compiler();
    case Isa::kCuda:
      break;
  }
  if (name.empty()) name = Environment::Get().compiler;
  if (name.empty()) return FindCudaCompiler(target);
  if (name == "nvrtc") return OpenNvrtc();
  if (name == "nvcc") return OpenNvcc();
  throw Fail(Code::kNotFound, "", "unknown compiler \"{}\": there are nvrtc and nvcc", name);
}

}  // namespace gemmsmith
