#include <zlib.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>

#include "gemmsmith/select.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

/// Of a plain file, or one that gzip compressed.
std::string ReadText(const std::filesystem::path& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw Fail(Code::kIo, "check that it can be read", "select score: cannot open {}", path.string());
  std::string text;
  std::array<char, 1 << 16> part;
  int count;
  while ((count = gzread(file.get(), part.data(), static_cast<unsigned>(part.size()))) > 0)
    text.append(part.data(), static_cast<std::size_t>(count));
  if (count < 0) {
    int code = 0;
    throw Fail(Code::kIo, "fetch it anew", "select score: {} is broken: {}", path.string(), gzerror(file.get(), &code));
  }
  return text;
}

bool IsTable(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(".csv") || name.ends_with(".csv.gz");
}

}  // namespace

std::vector<TableScore> ScoreTables(const std::string& folder, const ScoreProgress& progress) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (IsTable(entry.path())) paths.push_back(entry.path());
  if (error)
    throw Fail(Code::kIo, "name a folder of tables", "select score: cannot read {}: {}", folder, error.message());
  std::sort(paths.begin(), paths.end());
  std::vector<TableScore> scores;
  for (const std::filesystem::path& path : paths) {
    const std::string name = path.filename().string();
    if (progress) progress(name, paths.size());
    for (TableScore& score : ScoreTable(name, ReadText(path))) scores.push_back(std::move(score));
  }
  return scores;
}

}  // namespace gemmsmith
