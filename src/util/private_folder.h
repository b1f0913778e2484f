#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace gemmsmith {

/// A temporary folder of this process alone, removed with all that is in it at the end of its life.
class PrivateFolder {
 public:
  /// Throws kIo.
  PrivateFolder();
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;
  ~PrivateFolder();

  const std::filesystem::path& path() const { return path_; }
  /// Makes the folders in between. Throws kInvalidArgument for a name that leads out of the folder, kIo.
  void Write(const std::filesystem::path& name, std::string_view bytes) const;
  /// Empty if there is no such file.
  std::string Read(const std::filesystem::path& name) const;

 private:
  std::filesystem::path path_;
};

}  // namespace gemmsmith
