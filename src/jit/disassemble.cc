#include "gemmsmith/disassemble.h"

#include <chrono>
#include <vector>

#include "jit/toolchain.h"
#include "util/log.h"
#include "util/private_folder.h"
#include "util/subprocess.h"

namespace gemmsmith {
namespace {

constexpr std::chrono::seconds kTimeout{60};

/// The words of one of the programs, which name their results differently.
SubprocessResult Run(const std::string& program, const std::string& file) {
  const char* const option = program.ends_with("nvdisasm") ? "--print-code" : "--dump-sass";
  return RunSubprocess({program, option, file}, kTimeout);
}

}  // namespace

std::string Disassemble(std::string_view cubin) {
  const ToolSearch search = SearchDisassembler(Environment::Get());
  const PrivateFolder folder;
  folder.Write("kernel.cubin", cubin);
  std::string failures;
  for (const std::string& program : search.candidates) {
    SubprocessResult result = Run(program, folder.path() / "kernel.cubin");
    if (result.exit_code == 0 && !result.timed_out) return std::move(result.output);
    const std::string words = result.output.substr(0, result.output.find_last_not_of('\n') + 1);
    failures +=
        fmt::format("{}{} fails with exit code {}: {}", failures.empty() ? "" : "; ", program, result.exit_code, words);
  }
  if (!failures.empty())
    throw Fail(Code::kUnsupported, "a newer CUDA toolkit may know this architecture", "disassemble: {}", failures);
  throw Fail(Code::kNotFound, "pip install nvidia-cuda-nvdisasm, or the CUDA toolkit, or set CUDA_HOME",
             "neither nvdisasm nor cuobjdump found: looked in {}", search.looked_in);
}

}  // namespace gemmsmith
