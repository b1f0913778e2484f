#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace gemmsmith::cli {
namespace {

constexpr const char* kClearLine = "\r\x1b[K";

}  // namespace

Progress::Progress(std::string what, std::size_t total)
    : what_(std::move(what)), total_(total), visible_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { Hide(); }

void Progress::Advance() {
  std::scoped_lock lock(mutex_);
  ++done_;
  Draw();
}

void Progress::Show(const std::string& detail) {
  std::scoped_lock lock(mutex_);
  detail_ = detail;
  Draw();
}

void Progress::Hide() {
  std::scoped_lock lock(mutex_);
  if (visible_) fmt::print(stderr, "{}", kClearLine);
}

void Progress::Draw() {
  if (!visible_) return;
  constexpr std::size_t kWidth = 30;
  const std::size_t filled = total_ == 0 ? kWidth : kWidth * done_ / total_;
  fmt::print(stderr, "{}{} [{:#<{}}{:.<{}}] {}/{} {:.50}", kClearLine, what_, "", filled, "", kWidth - filled, done_,
             total_, detail_);
  std::fflush(stderr);
}

}  // namespace gemmsmith::cli
