#include "gemmsmith/doctor.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "gemmsmith/version.h"
#include "jit/compiler.h"
#include "util/dynamic_library.h"
#include "util/file_system.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

using Status = Finding::Status;

Finding Cpu(Device& cpu) {
  const DeviceSpec& spec = cpu.spec();
  const CodeTarget best = cpu.targets().front();
  Finding finding{
      "CPU", Status::kOk, ToString(best),
      fmt::format("{} threads, {:.2f} GHz, L2 {} KiB", spec.multiprocessors, spec.clock_ghz, spec.l2_bytes >> 10), ""};
  if (best.isa != Isa::kX86) {
    finding.status = Status::kWarning;
    finding.remedy = "no AVX2+FMA here, or GEMMSMITH_CPU_ISA forbids it: the portable kernels are used, which are slow";
  }
  return finding;
}

Finding Driver(Devices& devices) {
  Finding finding{"CUDA driver", Status::kOk, "", "", ""};
  try {
    const DynamicLibrary library("libcuda.so.1");
    finding.path = library.path();
    int (*get_version)(int*) = nullptr;
    library.Bind(get_version, "cuDriverGetVersion");
    if (int version = 0; get_version(&version) == 0)
      finding.version = fmt::format("CUDA {}.{}", version / 1000, version % 1000 / 10);
  } catch (const Error&) {
    finding.status = Status::kMissing;
  }
  // What the devices say of it is the better reason: it names what is missing beyond the library.
  if (const std::string status = devices.CudaStatus(); !status.empty()) {
    finding.status = finding.path.empty() ? Status::kMissing : Status::kWarning;
    finding.remedy = status;
  }
  return finding;
}

std::vector<Finding> Gpus(Devices& devices) {
  std::vector<Finding> findings;
  for (Device* device : devices.List())
    if (device->id().kind == DeviceKind::kCuda)
      findings.push_back(
          {"GPU " + ToString(device->id()), Status::kOk, ToString(device->spec().target), device->spec().name, ""});
  return findings;
}

/// "13.0" of the line "#define CUDA_VERSION 13000"; empty if there is none.
std::string HeaderVersion(const std::filesystem::path& header) {
  constexpr std::string_view kDefinition = "#define CUDA_VERSION ";
  std::ifstream file(header);
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(kDefinition)) {
      const int version = std::atoi(line.c_str() + kDefinition.size());
      return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
    }
  return "";
}

Finding Toolkit() {
  const std::string& named = Environment::Get().cuda_home;
  const std::filesystem::path home = named.empty() ? "/usr/local/cuda" : named;
  std::error_code ignored;
  if (!std::filesystem::exists(home / "include" / "cuda.h", ignored))
    return {"CUDA toolkit", Status::kMissing, "", home.string(),
            "NVRTC alone is enough to compile kernels; install the toolkit, or set CUDA_HOME, for nvcc"};
  return {"CUDA toolkit", Status::kOk, HeaderVersion(home / "include" / "cuda.h"), home.string(), ""};
}

template <class Open>
Finding CudaCompiler(const char* item, Open open) {
  try {
    const std::shared_ptr<const Compiler> compiler = open();
    return {item, Status::kOk, compiler->version(), compiler->path(), ""};
  } catch (const Error& error) {
    return {item, Status::kMissing, "", "", error.what()};
  }
}

/// What it means for a cache to lie on such a file system.
std::string NetworkWarning(std::string_view kind) {
  return fmt::format(
      "the folder is on {}, which {} a network file system: its locks may not hold between machines, so that "
      "several may compile the same kernel, and a hit takes longer; set GEMMSMITH_CACHE_DIR to a folder on a local "
      "disk",
      kind, kind == "FUSE" ? "may be" : "is");
}

Finding CacheDirectory(const CacheStats& stats) {
  Finding finding{"cache directory", Status::kOk, fmt::format("{} kernels", stats.disk_kernels), stats.directory, ""};
  // The folder is made when there is something to keep; until then its parents tell.
  std::filesystem::path existing = stats.directory;
  std::error_code error;
  while (!std::filesystem::exists(existing, error) && existing.has_relative_path()) existing = existing.parent_path();
  const std::filesystem::space_info space = std::filesystem::space(existing, error);
  if (!error) finding.version += fmt::format(", {:.1f} GiB free", static_cast<double>(space.available) / (1 << 30));
  if (const std::string_view kind = NetworkFileSystemOf(existing.string()); !kind.empty()) {
    finding.status = Status::kWarning;
    finding.remedy = NetworkWarning(kind);
  }
  if (stats.directory.empty() || !stats.disk_status.empty()) {
    finding.status = Status::kWarning;
    finding.version.clear();
    finding.remedy =
        (stats.disk_status.empty() ? "none" : stats.disk_status) +
        "; kernels are compiled anew in every process: set GEMMSMITH_CACHE_DIR to a folder that can be written";
  }
  return finding;
}

}  // namespace

std::vector<Finding> Diagnose(Engine& engine) {
  Devices& devices = engine.devices();
  std::vector<Finding> findings{
      {"gemmsmith", Status::kOk, GEMMSMITH_VERSION, "", ""}, Cpu(devices.Get({})), Driver(devices)};
  for (Finding& gpu : Gpus(devices)) findings.push_back(std::move(gpu));
  findings.push_back(Toolkit());
  findings.push_back(CudaCompiler("NVRTC", OpenNvrtc));
  findings.push_back(CudaCompiler("nvcc", OpenNvcc));
  findings.push_back(CacheDirectory(engine.Cache()));
  return findings;
}

}  // namespace gemmsmith
