#include <fcntl.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "results/database.h"
#include "results/sqlite_store.h"
#include "util/atomic_file.h"
#include "util/log.h"
#include "util/paths.h"

namespace gemmsmith {
namespace results {
namespace {

namespace fs = std::filesystem;

std::string ArchitectureOf(const fs::path& path) try {
  if (path.extension() == ".sqlite") return ArchitectureOfSqlite(path);
  const UniqueFd fd = OpenDatabaseFile(path, O_RDONLY);
  const std::string bytes = fd ? ReadFrom(fd, path, 0) : "";
  return path.extension() == ".json" ? ReadDocument(bytes, "").architecture
                                     : ReadJournal(bytes, "", nullptr).architecture;
} catch (const std::exception& error) {
  LogDebug("results: {}: {}", path.string(), error.what());
  return "";
}

}  // namespace

Document ReadForeign(const std::string& path, std::string_view architecture) {
  const UniqueFd fd = OpenFile(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (!fd && errno == ENOENT) throw Fail(Code::kNotFound, "", "results: there is no file \"{}\"", path);
  if (!fd) throw IoError("open", path, errno);
  Document document = ReadDocument(ReadFrom(fd, path, 0), architecture);
  for (const std::string& why : {document.verdict.refused, document.verdict.damage})
    if (!why.empty()) throw Fail(Code::kInvalidArgument, "", "results: {}: {}", path, why);
  return document;
}

void WriteWhole(const std::string& path, std::string_view bytes) {
  AtomicFile file(fs::path(CanonicalPath(path)).parent_path().string());
  file.Write(bytes);
  file.Sync();
  file.Commit(path);
}

}  // namespace results

using namespace results;

std::string ResultsArchitecture(const std::string& path) { return ReadForeign(path, "").architecture; }

std::string DeviceArchitecture(const DeviceSpec& spec) {
  // Nothing that a driver measures or a table may be corrected in.
  const nlohmann::json facts = {{"device", spec.name},
                                {"target", ToString(spec.target)},
                                {"multiprocessors", spec.multiprocessors},
                                {"l2_bytes", spec.l2_bytes}};
  return facts.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
}

std::vector<std::string> ListResults(const std::string& directory) {
  const std::string folder = directory.empty() ? Environment::Get().cache_dir + "/results" : directory;
  std::set<std::string> architectures;
  std::error_code error;
  for (fs::directory_iterator i = OpenFolder(folder, error), end; !error && i != end; i.increment(error)) {
    const fs::path& path = i->path();
    const std::string extension = path.extension(), stem = path.stem();
    if (!stem.starts_with("gemm_cache_") || (extension != ".json" && extension != ".journal" && extension != ".sqlite"))
      continue;
    const std::string text = ArchitectureOf(path);
    if (text.empty()) continue;
    const Architecture architecture = ParseArchitecture(text);
    if (stem == "gemm_cache_" + architecture.fingerprint) architectures.insert(architecture.text);
  }
  return {architectures.begin(), architectures.end()};
}

}  // namespace gemmsmith
