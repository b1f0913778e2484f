#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "util/file.h"

namespace gemmsmith {

/// A file that appears whole or not at all: written under a private name, which Commit changes to the final one. What
/// was not committed is removed.
class AtomicFile {
 public:
  /// Creates a file (0600) in `temp_directory`, which must lie on the file system of the final path. Throws kIo.
  explicit AtomicFile(const std::string& temp_directory);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  const std::string& temp_path() const { return temp_path_; }
  /// Throws kIo.
  void Write(std::string_view bytes);
  /// Waits until what was written is on the medium. Throws kIo.
  void Sync();
  /// Closes the file and gives it its name, replacing what has it. Throws kIo.
  void Commit(const std::string& path);

 private:
  std::string temp_path_;  // Empty once committed.
  UniqueFd fd_;
};

/// Removes the private files in `temp_directory` whose writers died: those older than `age`. Errors are ignored.
void SweepTemporaries(const std::string& temp_directory, std::chrono::seconds age);

}  // namespace gemmsmith
