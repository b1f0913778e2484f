#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "gemmsmith/export.h"

namespace gemmsmith {

/// Sizes of `groups` groups among which `rows` rows fall at random, each alike: the quantiles of such a group's size,
/// smallest first, which add up to `rows`. For Engine::Explain. Throws kInvalidArgument.
GEMMSMITH_API std::vector<std::int64_t> ExpectedGroupRows(std::int64_t rows, std::int64_t groups);

/// How well the cost model agrees with a table of measurements that others made.
struct TableScore {
  struct Measure {
    std::string name;  ///< "MAPE %", "regret of top 8 %", ...
    double value = 0;
  };
  struct Ablation {
    std::string term;  ///< Left out.
    std::vector<Measure> measures;
  };

  std::string file;
  std::string what;    ///< "times of the vendor's library, bf16"
  std::string device;  ///< A row of devices.json, "" where the table needs none.
  std::int64_t rows = 0;
  std::vector<Measure> measures;
  std::vector<Ablation> ablations;
  std::string skipped;  ///< Why the table was not scored; empty: it was.
};

/// Scores one table of comma-separated values, whose first line tells what it is:
/// - `dtype,kernel_source,m,n,k,us`: times of the vendor's library. MAPE, median and 90th percentile of the relative
///   error, its mean (bias), and the MAPE on either half of the (n, k).
/// - 20 rows of `M, N, K, ms, TFLOP/s`: the same.
/// - `device`, `latency_ms`, `M`, `N` and `K`, in any order: f32 times of the vendor's library on several GPUs, by the
///   model of this library's SIMT kernels.
/// - `M,N,K,H,W,os,cycles,...`: SCALE-Sim's cycles of an output-stationary systolic array; the share that is met
/// exactly. A GPU's name must be part of the file's ("aic_h100_..."). Throws kInvalidArgument for broken rows, with
/// their line.
GEMMSMITH_API std::vector<TableScore> ScoreTable(std::string_view file_name, std::string_view text);
/// Called before each file is read: its name, and how many there are in all.
using ScoreProgress = std::function<void(const std::string& file, std::size_t files)>;
/// All `.csv` and `.csv.gz` of a folder, by name.
GEMMSMITH_API std::vector<TableScore> ScoreTables(const std::string& folder, const ScoreProgress& progress = {});

}  // namespace gemmsmith
