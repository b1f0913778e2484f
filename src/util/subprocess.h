#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace gemmsmith {

struct SubprocessResult {
  int exit_code = 0;  ///< 128 + signal where a signal ended it, as shells count.
  bool timed_out = false;
  bool cancelled = false;
  std::string output;  ///< stdout and stderr, in order of arrival.
};

/// Runs `arguments` (the first is the executable; searched in PATH unless it has a '/') without a shell, in a process
/// group of its own, with nothing inherited but the environment, and waits. Out of time, or once `cancelled` returns
/// true (asked every few milliseconds), the whole group is killed. `variables` ("NAME=value") join its environment.
/// Throws kNotFound if the executable cannot be started.
SubprocessResult RunSubprocess(const std::vector<std::string>& arguments, std::chrono::milliseconds timeout,
                               const std::function<bool()>& cancelled = {},
                               const std::vector<std::string>& variables = {});

}  // namespace gemmsmith
