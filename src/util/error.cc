#include "gemmsmith/error.h"

#include <cstdlib>
#include <mutex>

#include "util/log.h"

namespace gemmsmith {
namespace {

std::string Joined(const std::string& message, const std::string& remedy) {
  return remedy.empty() ? message : message + "; " + remedy;
}

/// The first lines of a log: enough to see the error, short enough for an exception's text.
std::string Head(const std::string& log) {
  constexpr std::size_t kMaxHead = 2000;
  return log.size() <= kMaxHead ? log : log.substr(0, kMaxHead) + "\n...";
}

struct HandlerSlot {
  std::mutex mutex;
  ErrorHandler handler;
};
HandlerSlot& Slot() {
  static HandlerSlot slot;
  return slot;
}

void Dispatch(Severity severity, std::string_view message) {
  ErrorHandler handler;
  {
    std::scoped_lock lock(Slot().mutex);
    handler = Slot().handler;
  }
  if (handler) {
    handler(severity, message);
  } else {
    LogLine(severity == Severity::kWarning ? "warn" : "critical", message);
  }
}

}  // namespace

std::string_view ToString(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return "invalid argument";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kNotFound:
      return "not found";
    case Code::kCompileFailed:
      return "compile failed";
    case Code::kDevice:
      return "device error";
    case Code::kOutOfMemory:
      return "out of memory";
    case Code::kIo:
      return "I/O error";
    case Code::kCancelled:
      return "cancelled";
    case Code::kInternal:
      return "internal error";
  }
  return "unknown error";
}

Error::Error(Code code, std::string message, std::string remedy)
    : std::runtime_error(Joined(message, remedy)),
      code_(code),
      message_(std::move(message)),
      remedy_(std::move(remedy)) {}

CompileError::CompileError(std::string message, std::string log, std::string source_path)
    : Error(Code::kCompileFailed,
            std::move(message) + (source_path.empty() ? "" : " (source: " + source_path + ")") + "\n" + Head(log)),
      log_(std::move(log)),
      source_path_(std::move(source_path)) {}

void SetErrorHandler(ErrorHandler handler) {
  std::scoped_lock lock(Slot().mutex);
  Slot().handler = std::move(handler);
}

void ReportWarning(std::string_view message) { Dispatch(Severity::kWarning, message); }

void ReportFatal(std::string_view message) {
  Dispatch(Severity::kFatal, message);
  std::abort();
}

}  // namespace gemmsmith
