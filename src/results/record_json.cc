#include "results/record_json.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>

#include "results/document.h"

namespace gemmsmith::results {
namespace {

using simdjson::dom::element;

constexpr SearchEffort kEfforts[] = {SearchEffort::kExact, SearchEffort::kBalanced, SearchEffort::kFast};

void AppendKey(std::string& out, const ResultKey& key) {
  const GEMMShape& s = key.shape;
  fmt::format_to(std::back_inserter(out), FMT_COMPILE(R"("shape":{{"G":{},"M":{},"K":{},"N":{}}},)"), s.G, s.M, s.K,
                 s.N);
  fmt::format_to(std::back_inserter(out), FMT_COMPILE(R"("dtypes":{{"input":"{}","output":"{}"}},)"),
                 ToString(s.input_dtype), ToString(s.output_dtype));
  fmt::format_to(std::back_inserter(out),
                 FMT_COMPILE(R"("search_mode":{{"tile_search":{},"partition_search":{},"effort":"{}",)"
                             R"("use_precise_evaluator":{}}})"),
                 key.mode.tile_search, key.mode.partition_search, ToString(key.mode.effort),
                 key.mode.use_precise_evaluator);
}

template <std::size_t kSize>
bool ReadNumbers(Members& members, std::string_view name, std::array<std::int64_t, kSize>& numbers) {
  simdjson::dom::array array;
  if (!members.Get(name, array) || array.size() != kSize) return false;
  auto next = numbers.begin();
  for (const element number : array)
    if (number.get(*next++) != simdjson::SUCCESS) return false;
  return true;
}

/// False and the dtypes as they were where there is no such dtype; without the exception that ParseDType costs.
bool ReadDType(Members& members, std::string_view name, DType& dtype) {
  std::string_view text;
  if (!members.Get(name, text)) return false;
  const auto all = AllDTypes();
  const auto found = std::ranges::find(all, text, &DTypeInfo::name);
  if (found == all.end()) return false;
  dtype = found->dtype;
  return true;
}

bool ReadMode(Members& members, GEMMSearchMode& mode) {
  simdjson::dom::object object;
  if (!members.Get("search_mode", object)) return false;
  Members in(object);
  if (!in.Get("tile_search", mode.tile_search) || !in.Get("partition_search", mode.partition_search)) return false;
  element ignored;
  // Documents that know of two switches alone are of exact searches.
  if (in.Find("effort", ignored)) {
    std::string_view text;
    if (!in.Get("effort", text)) return false;
    const auto* found = std::ranges::find(kEfforts, text, [](SearchEffort effort) { return ToString(effort); });
    if (found == std::end(kEfforts)) return false;
    mode.effort = *found;
  }
  return !in.Find("use_precise_evaluator", ignored) || in.Get("use_precise_evaluator", mode.use_precise_evaluator);
}

bool ReadKey(Members& members, ResultKey& key) {
  simdjson::dom::object shape, dtypes;
  if (!members.Get("shape", shape) || !members.Get("dtypes", dtypes)) return false;
  Members in_shape(shape), in_dtypes(dtypes);
  GEMMShape& s = key.shape;
  return in_shape.Get("G", s.G) && in_shape.Get("M", s.M) && in_shape.Get("K", s.K) && in_shape.Get("N", s.N) &&
         ReadDType(in_dtypes, "input", s.input_dtype) && ReadDType(in_dtypes, "output", s.output_dtype) &&
         ReadMode(members, key.mode);
}

bool ReadResult(Members& members, GEMMResult& r) {
  simdjson::dom::object result;
  if (!members.Get("result", result)) return false;
  Members in(result);
  std::string_view order;
  const bool ok =
      in.Get("latency_us", r.latency_us) && in.Get("compute_time_us", r.compute_time_us) &&
      in.Get("memory_time_us", r.memory_time_us) && in.Get("flops", r.flops) &&
      in.Get("dram_traffic_bytes", r.dram_traffic_bytes) && in.Get("arch_utilization", r.arch_utilization) &&
      in.Get("effective_utilization", r.effective_utilization) && ReadNumbers(in, "best_tile", r.best_tile) &&
      in.Get("best_loop_order", order) && ReadNumbers(in, "best_partition", r.best_partition);
  if (ok) r.best_loop_order = order;
  return ok;
}

/// A member that may be missing, but must not be of another kind.
template <class T>
bool GetOptional(Members& members, std::string_view name, T& value) {
  element ignored;
  return !members.Find(name, ignored) || members.Get(name, value);
}

bool ReadMetadata(Members& members, StoredResult& entry) {
  simdjson::dom::object metadata;
  if (!members.Get("metadata", metadata)) return false;
  Members in(metadata);
  GEMMSearchCost& search = entry.result.search;
  if (!in.GetTime("timestamp", entry.created_unix)) return false;
  entry.last_used_unix = entry.created_unix;
  element ignored;
  return (!in.Find("last_used", ignored) || in.GetTime("last_used", entry.last_used_unix)) &&
         GetOptional(in, "search_time_ms", search.search_time_ms) &&
         GetOptional(in, "num_searched_partitions", search.num_searched_partitions) &&
         GetOptional(in, "num_searched_tiles", search.num_searched_tiles) &&
         GetOptional(in, "to_be_verified", entry.to_be_verified);
}

bool GetText(Members& members, std::string_view name, std::string& text) {
  std::string_view view;
  if (!members.Get(name, view)) return false;
  text = view;
  return true;
}

}  // namespace

std::string TimeText(std::int64_t unix_seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(unix_seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format(FMT_COMPILE("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z"), static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

std::optional<std::int64_t> ParseTime(std::string_view text) {
  constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:ddZ";
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.size() != kForm.size()) return std::nullopt;
  for (std::size_t i = 0; i < kForm.size(); ++i)
    if (kForm[i] == 'd' ? !is_digit(text[i]) : kForm[i] != text[i]) return std::nullopt;
  const auto number = [&](std::size_t begin, std::size_t count) {
    int value = 0;
    for (const char digit : text.substr(begin, count)) value = value * 10 + (digit - '0');
    return value;
  };
  const std::chrono::year_month_day date{std::chrono::year(number(0, 4)),
                                         std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                         std::chrono::day(static_cast<unsigned>(number(8, 2)))};
  const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t unix_seconds = days * 86'400 + hour * 3600 + minute * 60 + second;
  return unix_seconds < 0 ? std::nullopt : std::optional(unix_seconds);
}

template <class T>
bool Members::GetAs(std::string_view name, T& value) {
  element found;
  return Find(name, found) && found.get(value) == simdjson::SUCCESS;
}
bool Members::Get(std::string_view name, std::int64_t& value) { return GetAs(name, value); }
bool Members::Get(std::string_view name, std::uint64_t& value) { return GetAs(name, value); }
bool Members::Get(std::string_view name, double& value) { return GetAs(name, value); }
bool Members::Get(std::string_view name, bool& value) { return GetAs(name, value); }
bool Members::Get(std::string_view name, std::string_view& value) { return GetAs(name, value); }
bool Members::Get(std::string_view name, simdjson::dom::object& value) { return GetAs(name, value); }
bool Members::Get(std::string_view name, simdjson::dom::array& value) { return GetAs(name, value); }
bool Members::GetTime(std::string_view name, std::int64_t& value) {
  std::string_view text;
  if (!Get(name, text)) return false;
  const std::optional<std::int64_t> time = ParseTime(text);
  if (time) value = *time;
  return time.has_value();
}

void AppendJson(std::string& out, const StoredResult& entry) {
  out += '{';
  AppendKey(out, entry.key);
  const GEMMResult& r = entry.result;
  fmt::format_to(std::back_inserter(out),
                 FMT_COMPILE(R"(,"result":{{"latency_us":{},"compute_time_us":{},"memory_time_us":{},"flops":{},)"
                             R"("dram_traffic_bytes":{},"arch_utilization":{},"effective_utilization":{},)"),
                 r.latency_us, r.compute_time_us, r.memory_time_us, r.flops, r.dram_traffic_bytes, r.arch_utilization,
                 r.effective_utilization);
  fmt::format_to(std::back_inserter(out),
                 FMT_COMPILE(R"("best_tile":[{},{},{}],"best_loop_order":"{}","best_partition":[{},{},{},{}]}},)"),
                 r.best_tile[0], r.best_tile[1], r.best_tile[2], r.best_loop_order, r.best_partition[0],
                 r.best_partition[1], r.best_partition[2], r.best_partition[3]);
  fmt::format_to(std::back_inserter(out),
                 FMT_COMPILE(R"("metadata":{{"timestamp":"{}","last_used":"{}","search_time_ms":{},)"
                             R"("num_searched_partitions":{},"num_searched_tiles":{}{}}}}})"),
                 TimeText(entry.created_unix), TimeText(entry.last_used_unix), r.search.search_time_ms,
                 r.search.num_searched_partitions, r.search.num_searched_tiles,
                 entry.to_be_verified ? R"(,"to_be_verified":true)" : "");
}

void AppendJson(std::string& out, const TuningRecord& record) {
  fmt::format_to(std::back_inserter(out), R"({{"problem":{},"config":{},"code_digest":{},"device":{},"target":{},)",
                 Quoted(record.problem), Quoted(record.config), Quoted(record.code_digest), Quoted(record.device),
                 Quoted(record.target));
  fmt::format_to(std::back_inserter(out),
                 R"("core_clock_mhz":{},"memory_clock_mhz":{},"times_us":[{}],"wrong":{},"timestamp":"{}")",
                 record.core_clock_mhz, record.memory_clock_mhz, fmt::join(record.times_us, ","), Quoted(record.wrong),
                 TimeText(record.created_unix));
  if (record.m_to != 0)
    fmt::format_to(std::back_inserter(out), R"(,"chosen_for_m":[{},{}])", record.m_from, record.m_to);
  out += '}';
}

std::string ToJson(const Change& change) {
  std::string out;
  if (const auto* entry = std::get_if<StoredResult>(&change)) {
    out = R"({"entry":)";
    AppendJson(out, *entry);
    out += '}';
  } else if (const auto* record = std::get_if<TuningRecord>(&change)) {
    out = R"({"tuning":)";
    AppendJson(out, *record);
    out += '}';
  } else if (const auto* use = std::get_if<Use>(&change)) {
    out = R"({"used":{)";
    AppendKey(out, use->key);
    fmt::format_to(std::back_inserter(out), R"(,"time":"{}"}}}})", TimeText(use->unix_time));
  } else {
    const auto& lookups = std::get<Lookups>(change);
    fmt::format_to(std::back_inserter(out), R"({{"lookups":{{"hits":{},"misses":{}}}}})", lookups.hits, lookups.misses);
  }
  return out;
}

std::optional<StoredResult> ReadEntry(const element& json, std::string& why) {
  simdjson::dom::object object;
  StoredResult entry;
  why = "a result lacks a member, or has one of another kind";
  if (json.get(object) != simdjson::SUCCESS) return std::nullopt;
  Members members(object);
  if (!ReadKey(members, entry.key) || !ReadResult(members, entry.result) || !ReadMetadata(members, entry))
    return std::nullopt;
  why = WhyImpossible(entry);
  return why.empty() ? std::optional(std::move(entry)) : std::nullopt;
}

std::optional<TuningRecord> ReadTuning(const element& json, std::string& why) {
  simdjson::dom::object object;
  simdjson::dom::array times;
  TuningRecord record;
  why = "a tuning record lacks a member, or has one of another kind";
  if (json.get(object) != simdjson::SUCCESS) return std::nullopt;
  Members in(object);
  if (!GetText(in, "problem", record.problem) || !GetText(in, "config", record.config) ||
      !GetText(in, "code_digest", record.code_digest) || !GetText(in, "device", record.device) ||
      !GetText(in, "target", record.target) || !in.Get("core_clock_mhz", record.core_clock_mhz) ||
      !in.Get("memory_clock_mhz", record.memory_clock_mhz) || !in.Get("times_us", times) ||
      !GetText(in, "wrong", record.wrong) || !in.GetTime("timestamp", record.created_unix))
    return std::nullopt;
  for (const element time : times)
    if (time.get(record.times_us.emplace_back()) != simdjson::SUCCESS) return std::nullopt;
  element ignored;
  if (std::array<std::int64_t, 2> range{}; in.Find("chosen_for_m", ignored)) {
    if (!ReadNumbers(in, "chosen_for_m", range)) return std::nullopt;
    record.m_from = range[0], record.m_to = range[1];
  }
  why = WhyImpossible(record);
  return why.empty() ? std::optional(std::move(record)) : std::nullopt;
}

std::optional<Change> ReadChange(const element& json, std::string& why) {
  simdjson::dom::object object, inner;
  element value;
  why = "a change of no known kind";
  if (json.get(object) != simdjson::SUCCESS) return std::nullopt;
  Members members(object);
  if (members.Find("entry", value)) return ReadEntry(value, why);
  if (members.Find("tuning", value)) return ReadTuning(value, why);
  if (members.Get("used", inner)) {
    Members in(inner);
    Use use;
    if (ReadKey(in, use.key) && in.GetTime("time", use.unix_time)) return use;
  } else if (members.Get("lookups", inner)) {
    Members in(inner);
    Lookups lookups;
    if (in.Get("hits", lookups.hits) && in.Get("misses", lookups.misses)) return lookups;
  }
  return std::nullopt;
}

}  // namespace gemmsmith::results
