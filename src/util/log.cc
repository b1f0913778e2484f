#include "util/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "util/trust.h"

namespace gemmsmith {
namespace {

/// Our own logger, unregistered: a host program's spdlog settings stay as they are.
spdlog::logger& Logger() {
  // Leaked on purpose: threads may log while the process ends.
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("gemmsmith", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("gemmsmith: %l: %v");
    const std::string level = TrustedVariable("GEMMSMITH_LOG");
    made->set_level(level.empty() ? spdlog::level::warn : spdlog::level::from_str(level));
    return made;
  }();
  return *logger;
}

spdlog::level::level_enum Level(std::string_view level) { return spdlog::level::from_str(std::string(level)); }

}  // namespace

void SetLogLevel(std::string_view level) { Logger().set_level(Level(level)); }
bool LogEnabled(std::string_view level) { return Logger().should_log(Level(level)); }
void LogLine(std::string_view level, std::string_view message) { Logger().log(Level(level), "{}", message); }

}  // namespace gemmsmith
