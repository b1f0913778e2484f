#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "gemmsmith/emulation.h"

namespace gemmsmith::cli {

/// The session's device as an emulated one. Throws kUnsupported, for the sake of `option`, where it is none.
Emulation& EmulationOf(Session& session, std::string_view option);

/// A list.
Json ToJson(const std::vector<KernelStatistics>& kernels);
/// Those of a problem's kernels, as tables; what a kernel does not do is left out.
void PrintStatistics(const std::string& problem, const std::vector<KernelStatistics>& kernels);

/// Runs each problem with one seed after the other, until one shows a fault.
Outcome RunSeeds(Session& session);

}  // namespace gemmsmith::cli
