#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/json.h"
#include "gemmsmith/results.h"

namespace gemmsmith::cli {

/// All of a folder.
std::vector<std::unique_ptr<ResultsDatabase>> OpenResults(const std::string& directory);
/// "SG2262, 64 cores": the first text of an architecture, and how many there are of what computes.
std::string DescribeArchitecture(const Json& architecture);

/// What the page of `cache report` shows of results: "results", one row for each database, and "fastest", the best
/// config of problems that were timed.
void AddResults(const std::string& directory, std::size_t most_rows, std::size_t most_text, Json& report);

}  // namespace gemmsmith::cli
