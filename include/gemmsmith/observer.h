#pragma once

#include <string>
#include <string_view>

#include "gemmsmith/export.h"
#include "gemmsmith/kernel.h"

namespace gemmsmith {

/// What happens to kernels on their way into an engine. Called on the thread that does the work; a throwing observer is
/// reported once and otherwise ignored. Keep it short: it delays the call it watches.
class GEMMSMITH_API Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnCompileBegin(const KernelSource&, std::string_view /*key_digest*/) {}
  /// `error` is empty on success.
  virtual void OnCompileEnd(const KernelSource&, std::string_view /*key_digest*/, double /*milliseconds*/,
                            std::string_view /*error*/) {}
  virtual void OnHit(std::string_view /*key_digest*/, Origin) {}
  virtual void OnMiss(std::string_view /*key_digest*/) {}
  /// Something better was wanted and could not be had: a slower tier, compiler or kernel takes its place.
  virtual void OnFallback(std::string_view /*what*/, std::string_view /*reason*/) {}
};

}  // namespace gemmsmith
