#pragma once

#include <string>
#include <vector>

#include "gemmsmith/engine.h"
#include "gemmsmith/export.h"

namespace gemmsmith {

struct Finding {
  enum class Status { kOk, kMissing, kWarning };
  std::string item;  ///< "NVRTC", "CUDA driver", "cache directory", ...
  Status status = Status::kOk;
  std::string version, path;
  std::string remedy;  ///< What it is for and what to do, unless ok.
};

/// Looks at everything gemmsmith uses: toolkit, driver, NVRTC, nvcc, CPU features, devices, cache directory.
GEMMSMITH_API std::vector<Finding> Diagnose(Engine& engine);

}  // namespace gemmsmith
