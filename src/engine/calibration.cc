#include <algorithm>
#include <map>
#include <utility>

#include "engine/m_ranges.h"
#include "engine/planner.h"
#include "engine/race.h"
#include "gemmsmith/error.h"

namespace gemmsmith {
namespace {

/// The newest ones count: rendering a config, to know whether its code is still that, takes a fraction of a
/// millisecond.
constexpr std::size_t kMostRecords = 256;

std::optional<TileConfig> ParseKnown(const std::string& text) try { return ParseConfig(text); } catch (const Error&) {
  return std::nullopt;  // of another version
}

/// Of kernels that may not fill the device (Engine::SetNumSms) times say nothing of those that may.
bool FillsDevice(const GemmProblem& problem, const TileConfig& config, const CodeTarget& target,
                 const DeviceSpec& spec) {
  std::vector<TileConfig> alike = FindFamily(config.family).Candidates(Canonical(problem), target, spec);
  std::erase_if(alike, [&](const TileConfig& candidate) { return !IsSameChoice(candidate, config); });
  return alike.empty() || std::ranges::find(alike, config) != alike.end();
}

}  // namespace

std::shared_ptr<const Calibration> Planner::Calibrate(Device& device, const CodeTarget& target) {
  return measured_.Calibrated(device, target, [&](ResultsDatabase& database) -> std::shared_ptr<const Calibration> {
    const std::vector<TuningRecord> records = database.Tunings();
    const std::string name = ToString(target);
    std::map<std::pair<std::string, std::string>, bool> seen;
    std::vector<MeasuredTime> measured;
    for (auto record = records.rbegin(); record != records.rend() && measured.size() < kMostRecords; ++record) {
      if (record->target != name || record->times_us.empty()) continue;
      if (!seen.try_emplace({record->problem, record->config}).second) continue;
      const std::optional<GemmProblem> problem = ParseProblem(record->problem);
      const std::optional<TileConfig> config = ParseKnown(record->config);
      if (!record->wrong.empty() || !problem || !config) continue;
      if (CodeDigest(*problem, *config, target) != record->code_digest) continue;
      if (!FillsDevice(*problem, *config, target, device.spec())) continue;
      measured.push_back({*problem, *config, Median(record->times_us)});
    }
    // In the order of the records: sums come out the same in every process.
    std::ranges::reverse(measured);
    return std::make_shared<const Calibration>(measured, target, device.spec());
  });
}

void Planner::Recalibrate(const GemmProblem& problem, Device& device, Choice& choice) {
  const auto calibration = Calibrate(device, choice.target);
  if (calibration == nullptr) return;
  std::vector<Ranking::Config>& configs = choice.ranking.configs;
  const TileConfig first = configs.front().config;
  std::vector<Ranking::Config> ordered =
      RankConfigs(problem, choice.target, SpecOf(device), {.calibration = calibration.get()}).configs;
  std::erase_if(ordered, [&](const Ranking::Config& ranked) {
    return std::ranges::find(configs, ranked.config, &Ranking::Config::config) == configs.end();
  });
  configs = std::move(ordered);
  if (choice.basis.empty()) return;
  const auto place = std::ranges::find(configs, first, &Ranking::Config::config);
  std::rotate(configs.begin(), place, place + 1);
}

}  // namespace gemmsmith
