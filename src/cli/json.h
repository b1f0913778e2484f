#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "gemmsmith/doctor.h"
#include "gemmsmith/engine.h"
#include "gemmsmith/persistent_cache.h"

namespace gemmsmith::cli {

using Json = nlohmann::ordered_json;

/// As printed: indented, one newline at the end; bytes that are no UTF-8 (of a compiler's log) are replaced.
std::string Dump(const Json& document);

Json ToJson(const GemmProblem& problem);
Json ToJson(const KernelReport& kernel);
Json ToJson(const StageTime& time);
Json ToJson(const DeviceSpec& spec);
Json ToJson(const Finding& finding);
Json ToJson(const CacheStats& stats);
Json ToJson(const CacheHistory& history);
Json ToJson(const CachedKernel& kernel);
Json ToJson(const CachedKernelDetails& details);
Json ToJson(const IntegrityReport& report);
Json ToJson(const PruneReport& report);
Json ToJson(const RankedConfig& ranked);
/// {"error": {...}}
Json ErrorJson(std::string_view code, std::string_view message, std::string_view remedy);

/// "ok", "missing", "warning".
std::string_view ToString(Finding::Status status);

}  // namespace gemmsmith::cli
