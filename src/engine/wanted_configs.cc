#include "engine/wanted_configs.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "util/log.h"

namespace gemmsmith {
namespace {

struct Wish {
  std::string_view field;  ///< As families call it.
  int value;
};
std::vector<Wish> WishesOf(const EngineOptions& options) {
  const BaseConfig& tile = options.tile;
  std::vector<Wish> wishes = {{"block_m", tile.block_m}, {"block_n", tile.block_n}, {"block_k", tile.block_k},
                              {"warps_m", tile.warp_m},  {"warps_n", tile.warp_n},  {"stages", tile.stages}};
  std::erase_if(wishes, [](const Wish& wish) { return wish.value == 0; });
  return wishes;
}

std::optional<int> ValueOf(const TileConfig& config, std::string_view field) {
  for (std::size_t i = 0; i < config.fields.size(); ++i)
    if (config.fields[i].name == field) return config[i];
  return std::nullopt;
}

std::string WantedText(const EngineOptions& options) {
  std::string text;
  for (const Wish& wish : WishesOf(options))
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", wish.field, wish.value);
  if (!options.enable_tma_multicast) text += text.empty() ? "no multicast" : " no multicast";
  return text;
}

bool IsWanted(const TileConfig& config, const GemmProblem& problem, const DeviceSpec& spec,
              const EngineOptions& options, const std::vector<Wish>& wishes) {
  if (!options.enable_tma_multicast &&
      ValueOf(config, "cluster_m").value_or(1) * ValueOf(config, "cluster_n").value_or(1) > 1)
    return false;
  // Of one SM a cluster of two blocks would take another.
  if (ValueOf(config, "ctas").value_or(0) > spec.multiprocessors) return false;
  return std::ranges::all_of(wishes, [&](const Wish& wish) {
    std::optional<int> value = ValueOf(config, wish.field);
    // Where it is the same for all kernels of a family it is no field.
    if (!value && wish.field == "block_k")
      value = static_cast<int>(FindFamily(config.family).Shape(Canonical(problem), config, spec).step_k);
    return value == wish.value;
  });
}

/// Takes out what is not wanted, and says so where nothing is left.
template <class Configs>
void Keep(Configs& configs, std::vector<std::string>& refused, const GemmProblem& problem, std::string_view target,
          const DeviceSpec& spec, const EngineOptions& options) {
  const std::size_t all = configs.size();
  const std::vector<Wish> wishes = WishesOf(options);
  std::erase_if(configs, [&](const auto& ranked) { return !IsWanted(ranked.config, problem, spec, options, wishes); });
  if (configs.empty() && all > 0)
    refused.push_back(
        fmt::format("of {} configs for {} none has what was asked for: {}", all, target, WantedText(options)));
}

}  // namespace

void KeepWanted(Explanation& explanation, const DeviceSpec& spec, const EngineOptions& options) {
  Keep(explanation.ranked, explanation.refused, explanation.problem, explanation.target, spec, options);
}

Ranking RankWanted(const GemmProblem& problem, const CodeTarget& target, const DeviceSpec& spec,
                   const EngineOptions& options) {
  Ranking ranking = RankConfigs(problem, target, spec);
  Keep(ranking.configs, ranking.refused, problem, ToString(target), spec, options);
  return ranking;
}

EngineOptions WithConfig(EngineOptions options, const FP8Config& config) {
  options.tile = static_cast<const BaseConfig&>(config);
  options.compile.fast_math = config.enable_fast_math;
  return options;
}

EngineOptions WithConfig(EngineOptions options, const MoEConfig& config) {
  options.enable_tma_multicast = config.enable_tma_multicast;
  return WithConfig(std::move(options), static_cast<const FP8Config&>(config));
}

}  // namespace gemmsmith
