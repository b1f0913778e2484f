#pragma once

#include <cstddef>
#include <mutex>
#include <string>

namespace gemmsmith::cli {

/// A line on stderr that tells how far a long job is; silent where stderr is no terminal. Gone at the end of its life.
/// Thread-safe.
class Progress {
 public:
  Progress(std::string what, std::size_t total);
  ~Progress();
  /// One more is done.
  void Advance();
  /// What is being done now.
  void Show(const std::string& detail);
  /// Takes the line away, so that others can print.
  void Hide();

 private:
  void Draw();

  const std::string what_;
  const std::size_t total_;
  const bool visible_;
  std::mutex mutex_;
  std::size_t done_ = 0;
  std::string detail_;
};

}  // namespace gemmsmith::cli
