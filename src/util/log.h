#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "gemmsmith/error.h"

namespace gemmsmith {

/// Logging to stderr at the level of GEMMSMITH_LOG (default warn), and the levels of errors. Messages are single lines.
void SetLogLevel(std::string_view level);
bool LogEnabled(std::string_view level);
void LogLine(std::string_view level, std::string_view message);
/// Through the error handler; the default logs.
void ReportWarning(std::string_view message);
/// Through the error handler, then aborts.
[[noreturn]] void ReportFatal(std::string_view message);

template <class... Args>
void LogDebug(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled("debug")) LogLine("debug", fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled("info")) LogLine("info", fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void Warn(fmt::format_string<Args...> format, Args&&... args) {
  ReportWarning(fmt::format(format, std::forward<Args>(args)...));
}

/// throw Fail(Code::kUnsupported, "pad A and B", "gemm: k={} must be ...", k): the remedy comes first, and may be
/// empty.
template <class... Args>
Error Fail(Code code, std::string_view remedy, fmt::format_string<Args...> format, Args&&... args) {
  return Error(code, fmt::format(format, std::forward<Args>(args)...), std::string(remedy));
}

}  // namespace gemmsmith
