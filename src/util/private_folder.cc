#include "util/private_folder.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "util/log.h"

namespace gemmsmith {

namespace fs = std::filesystem;

PrivateFolder::PrivateFolder() {
  std::error_code error;
  std::string path = (fs::temp_directory_path(error) / "gemmsmith-XXXXXX").string();
  if (error || mkdtemp(path.data()) == nullptr)
    throw Fail(Code::kIo, "set TMPDIR to a folder that can be written", "cannot create the temporary folder {}", path);
  path_ = path;
}

PrivateFolder::~PrivateFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
}

void PrivateFolder::Write(const fs::path& name, std::string_view bytes) const {
  const bool inside = name.is_relative() && std::find(name.begin(), name.end(), "..") == name.end();
  if (!inside)
    throw Fail(Code::kInvalidArgument, "name it as the source includes it", "header \"{}\" lies outside the source",
               name.string());
  std::error_code error;
  fs::create_directories((path_ / name).parent_path(), error);
  std::ofstream file(path_ / name, std::ios::binary);
  file << bytes;
  if (!file.flush()) throw Fail(Code::kIo, "", "cannot write {}", (path_ / name).string());
}

std::string PrivateFolder::Read(const fs::path& name) const {
  std::ifstream file(path_ / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace gemmsmith
