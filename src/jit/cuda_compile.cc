#include "jit/cuda_compile.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <set>

#include "cubin.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// `text` with each #include "name" of the source's headers replaced by the header, the first time, and left out after
/// that: one file that compiles by hand.
std::string Flatten(const KernelSource& source, std::string_view text, std::set<std::string>& done) {
  constexpr std::string_view kInclude = "#include \"", kOnce = "#pragma once\n";
  std::string flat;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, std::min(text.find('\n'), text.size() - 1) + 1);
    text.remove_prefix(line.size());
    const auto header = std::find_if(source.headers.begin(), source.headers.end(), [&](const SourceHeader& h) {
      return line.starts_with(fmt::format("{}{}\"", kInclude, h.name));
    });
    if (header == source.headers.end()) {
      if (line != kOnce) flat += line;
    } else if (done.insert(header->name).second) {
      flat += Flatten(source, header->text, done);
    }
  }
  return flat;
}

/// A private file with the source; empty if there is no place for one.
std::string SaveSource(const KernelSource& source) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(error);  // $TMPDIR, else /tmp
  if (error) return "";
  std::string path = (folder / "gemmsmith-XXXXXX.cu").string();
  const int file = mkstemps(path.data(), 3);  // mode 0600
  if (file < 0) return "";
  std::set<std::string> done;
  const std::string text = Flatten(source, source.text, done);
  const bool saved = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(file);
  if (saved) return path;
  unlink(path.c_str());
  return "";
}

/// ptxas goes on, with a remark alone, where flags keep it from letting products on tensor cores overlap: such flags
/// also come from nvcc's environment. Of a user's kernel the remark is in the log.
void RequireOverlap(const KernelSource& source, const Artifact& artifact) {
  if (source.config.family.empty()) return;
  // setmaxnreg ignored; products made to wait for each other.
  for (const std::string_view sign : {"(C7504)", "(C7505)", "(C7510)", "(C7519)", "(C7520)"}) {
    const std::string_view log = artifact.log;
    const std::size_t at = log.find(sign);
    if (at == std::string_view::npos) continue;
    ThrowCompileError(source, artifact.compiler,
                      fmt::format("products on tensor cores would not overlap: ptxas says \"{}\"; take -G, -g and -O0 "
                                  "out of NVCC_APPEND_FLAGS and NVCC_PREPEND_FLAGS",
                                  log.substr(at, log.find('\n', at) - at)),
                      artifact.log);
  }
}

}  // namespace

std::string Describe(const KernelSource& source) {
  return fmt::format("kernel {} for {}", source.name, ToString(source.target));
}

std::vector<std::string> CudaOptions(const KernelSource& source) {
  const CompileOptions& options = source.options;
  std::vector<std::string> arguments = {
      "-std=c++17",
      "-arch=" + ToString(source.target),
      fmt::format("-Xptxas=-O{}", options.opt_level),
      fmt::format("-Xptxas=--register-usage-level={}", options.register_usage_level),
      // Warnings only: they go into the artifact's log.
      "-Xptxas=--warn-on-spills",
      "-Xptxas=--warn-on-local-memory-usage",
  };
  if (options.fast_math) arguments.push_back("-use_fast_math");
  if (options.line_info) arguments.push_back("-lineinfo");
  return arguments;
}

void ThrowCompileError(const KernelSource& source, std::string_view compiler, std::string_view reason,
                       std::string log) {
  throw CompileError(fmt::format("compile {} with {}: {}", Describe(source), compiler, reason), std::move(log),
                     SaveSource(source));
}

void CompleteArtifact(const KernelSource& source, Artifact& artifact) {
  RequireOverlap(source, artifact);
  const std::vector<CubinKernel> kernels = ReadCubin(artifact.parts.at("cubin"));
  const auto kernel = std::find_if(kernels.begin(), kernels.end(),
                                   [&](const CubinKernel& k) { return k.name == artifact.lowered_name; });
  if (kernel == kernels.end())
    throw Fail(Code::kInternal, "", "compile {}: the cubin holds no {}", Describe(source), artifact.lowered_name);
  artifact.kernel_name = source.name;
  artifact.target = source.target;
  artifact.config = source.config.family.empty() ? "" : ToString(source.config);
  artifact.resources = kernel->resources;
  artifact.created_unix = std::time(nullptr);
  if (source.options.warn_local_memory && kernel->resources.spill_bytes > 0)
    Warn("{}: {} bytes of local memory per thread", Describe(source), kernel->resources.spill_bytes);
}

void RequireSupported(const KernelSource& source, std::string_view compiler, const std::vector<int>& versions) {
  if (source.target.isa == Isa::kCuda &&
      std::find(versions.begin(), versions.end(), source.target.version) != versions.end())
    return;
  std::string list;
  for (int version : versions) list += fmt::format("{}sm_{}", list.empty() ? "" : ", ", version);
  throw Fail(Code::kUnsupported, "install a newer CUDA toolkit or choose one of these",
             "{} cannot compile for {}: it knows {}", compiler, ToString(source.target), list);
}

}  // namespace gemmsmith
