#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "gemmsmith/export.h"

namespace gemmsmith {

/// What kind of thing went wrong; the exit of every failed call.
enum class Code {
  kInvalidArgument,  ///< The caller passed something that can never work: shapes, pointers, names.
  kUnsupported,      ///< Valid, but no kernel, target or device here can do it.
  kNotFound,         ///< A file, library, kernel or device that was named does not exist.
  kCompileFailed,    ///< The compiler rejected the source; see CompileError.
  kDevice,           ///< The driver or device reported a failure.
  kOutOfMemory,      ///< Memory of the host, of the device, or of a capped pool is used up.
  kIo,               ///< A file could not be read or written.
  kCancelled,        ///< The caller cancelled the operation.
  kInternal,         ///< A broken promise of gemmsmith itself; please report it.
};

/// "invalid argument", "unsupported", ...
GEMMSMITH_API std::string_view ToString(Code code);

/// Every exception of the library. `what()` is "message; remedy".
class GEMMSMITH_API Error : public std::runtime_error {
 public:
  Error(Code code, std::string message, std::string remedy = {});

  Code code() const { return code_; }
  const std::string& message() const { return message_; }  ///< Operation, offending value, limit.
  const std::string& remedy() const { return remedy_; }    ///< What to do about it; may be empty.

 private:
  Code code_;
  std::string message_, remedy_;
};

/// A compiler rejected a kernel. `what()` carries the start of the log and the path of the saved source.
class GEMMSMITH_API CompileError : public Error {
 public:
  CompileError(std::string message, std::string log, std::string source_path);

  const std::string& log() const { return log_; }  ///< The compiler's own words, complete.
  const std::string& source_path() const {
    return source_path_;
  }  ///< Where the source was saved; empty if it could not be.

 private:
  std::string log_, source_path_;
};

/// kWarning: logged, work goes on. kError: thrown as Error. kFatal: logged, then the process stops.
enum class Severity { kWarning, kError, kFatal };

/// Called for warnings and fatal conditions instead of the log; for kFatal, returning from it aborts.
/// Errors are thrown and do not pass through here. An empty function restores the default. Thread-safe.
using ErrorHandler = std::function<void(Severity, std::string_view message)>;
GEMMSMITH_API void SetErrorHandler(ErrorHandler handler);

}  // namespace gemmsmith
