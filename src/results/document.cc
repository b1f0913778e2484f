#include "results/document.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "results/compression.h"
#include "results/record_json.h"
#include "util/digest.h"
#include "util/log.h"

namespace gemmsmith::results {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

static_assert(kPadding >= simdjson::SIMDJSON_PADDING);
constexpr std::size_t kLongestArchitecture = 16'384;
constexpr std::size_t kMostBytes = std::size_t{1} << 30;  // The parser's numbers of places have 32 bits.

constexpr std::string_view kNoHeader = "its first line is not that of a journal";

/// "1.2.3" as three numbers; false for everything else.
bool ParseVersion(std::string_view text, int (&numbers)[3]) {
  const char* at = text.data();
  const char* const end = at + text.size();
  for (int i = 0; i < 3; ++i) {
    if (i > 0 && (at == end || *at++ != '.')) return false;
    const auto [next, error] = std::from_chars(at, end, numbers[i]);
    if (error != std::errc{} || next == at || numbers[i] < 0) return false;
    at = next;
  }
  return at == end;
}

/// What documents and journals say of themselves. `why` is not empty where this is not ours.
std::string WhyNotOurs(Members& in, std::string_view wanted, std::string& architecture, Verdict& verdict) {
  std::string_view version, format, fingerprint;
  object described;
  if (!in.Get("version", version) || !in.Get("cache_format_version", format) ||
      !in.Get("arch_fingerprint", fingerprint) || !in.Get("architecture", described))
    return "it is no results database";
  if (format != kResultsFormatVersion)
    return fmt::format("its format is {}, and not {}", Quoted(format.substr(0, 40)), kResultsFormatVersion);
  const VersionVerdict judged = JudgeVersion(version);
  if (judged == VersionVerdict::kOther)
    return fmt::format("it is of version {}, whose results are not those of {}", Quoted(version.substr(0, 40)),
                       kResultsVersion);
  verdict.outdated = version != kResultsVersion;
  architecture = simdjson::minify(described);
  if (!wanted.empty() && !IsSameArchitecture(architecture, wanted)) return "it is of another architecture";
  return "";
}

void NoteDamage(Verdict& verdict, std::string_view why, int& count) {
  if (++count == 1) verdict.damage = why;
}

void ReadStatistics(Members& in, Counters& counters) {
  object statistics;
  if (!in.Get("statistics", statistics)) return;
  Members members(statistics);
  double hours = 0;
  members.GetTime("created_at", counters.created_unix);
  members.GetTime("last_updated", counters.last_updated_unix);
  if (members.Get("total_search_time_hours", hours) && hours >= 0) counters.search_ms = hours * 3.6e6;
  members.Get("cache_hits", counters.hits);
  members.Get("cache_misses", counters.misses);
}

void ReadTunings(Members& in, Document& document, int& damaged) {
  element list;
  simdjson::dom::array tunings;
  std::string why;
  if (!in.Find("tuning_records", list)) return;
  if (list.get(tunings) != simdjson::SUCCESS)
    return NoteDamage(document.verdict, "its tuning_records are no list", damaged);
  for (const element value : tunings)
    if (std::optional<TuningRecord> record = ReadTuning(value, why))
      document.contents.tunings.Add(std::move(*record));
    else
      NoteDamage(document.verdict, why, damaged);
}

struct Reading {
  Document& document;
  bool verify;
  int damaged = 0;
};

void ReadEntries(const object& entries, Reading& reading) {
  Document& document = reading.document;
  std::string why;
  for (const auto [name, value] : entries) {
    std::optional<StoredResult> entry = ReadEntry(value, why);
    if (!entry) {
      NoteDamage(document.verdict, why, reading.damaged);
      continue;
    }
    entry->to_be_verified |= reading.verify;
    const ResultKey key = entry->key;
    document.contents.entries.insert_or_assign(key, std::move(*entry));
  }
}

/// A document without its entries, and the lines that these are.
struct CutDocument {
  std::string rest;
  std::string_view entries;
};

/// Cuts a document that is laid out as ours are. An end of a line is never part of a JSON text, so that what is cut
/// there, and is right in every part, is right as a whole.
std::optional<CutDocument> Cut(std::string_view bytes) {
  constexpr std::string_view kBegin = "\n  \"cache_entries\": {", kEnd = "\n  },\n  \"tuning_records\": [";
  constexpr std::size_t kLongestHead = 2 * kLongestArchitecture;
  const std::size_t head = bytes.substr(0, kLongestHead).find(kBegin), end = bytes.rfind(kEnd);
  const std::size_t begin = head + kBegin.size();
  if (head == bytes.npos || end == bytes.npos || end < begin) return std::nullopt;
  CutDocument cut{std::string(bytes.substr(0, begin)), bytes.substr(begin, end - begin)};
  cut.rest += bytes.substr(end);
  return cut;
}

/// Reads lines of entries by parts, each of which stays in a core's cache. False where one is wrong.
bool ReadEntryLines(std::string_view lines, Reading& reading) {
  constexpr std::size_t kPart = 64 << 10;
  simdjson::dom::parser parser(kMostBytes);
  std::string part;
  while (!lines.empty()) {
    const std::size_t end = lines.find(",\n", std::min(kPart, lines.size()));
    part.assign("{").append(lines.substr(0, end)).append("}");
    part.reserve(part.size() + kPadding);
    object entries;
    // A comma behind the last entry leaves a part without any.
    if (parser.parse(part).get(entries) != simdjson::SUCCESS || entries.size() == 0) return false;
    ReadEntries(entries, reading);
    lines = end == lines.npos ? std::string_view() : lines.substr(end + 1);
  }
  return true;
}

/// False where the lines that were cut out are wrong.
bool ReadContents(Members& in, std::optional<std::string_view> lines, Reading& reading) {
  constexpr std::size_t kLeastEntry = 400;  // Bytes.
  Document& document = reading.document;
  object entries;
  if (!in.Get("cache_entries", entries)) {
    NoteDamage(document.verdict, "it has no cache_entries", reading.damaged);
    return !lines;
  }
  document.contents.entries.reserve(lines ? lines->size() / kLeastEntry : entries.size());
  ReadEntries(entries, reading);
  if (lines && (entries.size() > 0 || !ReadEntryLines(*lines, reading))) return false;
  ReadTunings(in, document, reading.damaged);
  if (reading.damaged > 1) document.verdict.damage += fmt::format(" (and {} others)", reading.damaged - 1);
  return true;
}

/// Of a whole text, or of one whose lines of entries were cut out. Empty where one of these is wrong.
std::optional<Document> ReadText(const std::string& text, std::string_view architecture,
                                 std::optional<std::string_view> lines = {}) {
  Document document;
  simdjson::dom::parser parser(kMostBytes);
  object root;
  if (const auto error = parser.parse(text).get(root); error != simdjson::SUCCESS) {
    document.verdict.refused = fmt::format("it is no JSON document ({})", simdjson::error_message(error));
    return document;
  }
  Members in(root);
  document.verdict.refused = WhyNotOurs(in, architecture, document.architecture, document.verdict);
  if (!document.verdict.refused.empty()) return document;
  std::string_view version, journal;
  in.Get("version", version);
  if (in.Get("merged_journal", journal)) document.merged_journal = journal;
  Reading reading{document, JudgeVersion(version) == VersionVerdict::kVerify};
  if (!ReadContents(in, lines, reading)) return std::nullopt;
  ReadStatistics(in, document.contents.counters);
  return document;
}

/// The JSON of a line; empty where its checksum is not right.
std::string_view Unframe(std::string_view line) {
  constexpr std::size_t kDigits = 16;
  if (line.size() <= kDigits + 1 || line[kDigits] != ' ') return {};
  const std::string_view json = line.substr(kDigits + 1);
  return fmt::format("{:016x}", Hash64(json.data(), json.size())) == line.substr(0, kDigits) ? json
                                                                                             : std::string_view();
}

std::string HeadMembers(const Architecture& architecture, std::string_view separator) {
  return fmt::format(R"("version": "{1}",{0}"cache_format_version": "{2}",{0}"arch_fingerprint": "{3}",{0})"
                     R"("architecture": {4},{0})",
                     separator, kResultsVersion, kResultsFormatVersion, architecture.fingerprint, architecture.text);
}

void ReadHeader(std::string_view line, std::string_view wanted, Journal& journal, bool& verify) {
  const std::string_view json = Unframe(line);
  simdjson::dom::parser parser;
  object root;
  std::string_view version, id;
  if (json.empty() || parser.parse(json.data(), json.size()).get(root) != simdjson::SUCCESS) {
    journal.verdict.refused = kNoHeader;
    return;
  }
  Members in(root);
  journal.verdict.refused = WhyNotOurs(in, wanted, journal.architecture, journal.verdict);
  if (in.Get("version", version)) verify = JudgeVersion(version) == VersionVerdict::kVerify;
  if (in.Get("journal", id)) journal.id = id;
  if (journal.verdict.refused.empty() && id.empty()) journal.verdict.refused = kNoHeader;
}

}  // namespace

std::string Quoted(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
}

Architecture ParseArchitecture(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto is_plain = [](const nlohmann::json& value) { return value.is_primitive() && !value.is_null(); };
  if (text.size() > kLongestArchitecture || !json.is_object() || json.empty() || !std::ranges::all_of(json, is_plain))
    throw Fail(Code::kInvalidArgument, "give Fingerprint(chip)",
               "results: the architecture \"{}\" is no JSON object of numbers and texts", text.substr(0, 200));
  const std::string line = json.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
  return {line, DigestOf(line).Hex().substr(0, 16)};
}

bool IsSameArchitecture(std::string_view text, std::string_view other) {
  const auto first = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  return !first.is_discarded() && first == nlohmann::json::parse(other, nullptr, /*allow_exceptions=*/false);
}

VersionVerdict JudgeVersion(std::string_view version) {
  int theirs[3], ours[3];
  ParseVersion(kResultsVersion, ours);
  if (!ParseVersion(version, theirs) || theirs[0] != ours[0]) return VersionVerdict::kOther;
  return theirs[1] == ours[1] ? VersionVerdict::kSame : VersionVerdict::kVerify;
}

Document ReadDocument(const std::string& bytes, std::string_view architecture) {
  if (IsCompressed(bytes)) {
    const std::optional<std::string> text = Decompress(bytes, kMostBytes);
    if (text && !IsCompressed(*text)) return ReadDocument(*text, architecture);
    Document document;
    document.verdict.refused = "it is no whole frame of zstd, or too large";
    return document;
  }
  if (const std::optional<CutDocument> cut = Cut(bytes)) {
    std::optional<Document> document = ReadText(cut->rest, architecture, cut->entries);
    if (document && document->verdict.refused.empty()) return std::move(*document);
  }
  return *ReadText(bytes, architecture);
}

std::string WriteDocument(const Contents& contents, const Architecture& architecture, std::string_view merged_journal) {
  std::string out = "{\n  ";
  out.reserve(1000 + contents.entries.size() * 640);
  out += HeadMembers(architecture, "\n  ");
  out += fmt::format("\"merged_journal\": {},\n  \"cache_entries\": {{", Quoted(merged_journal));
  std::vector<std::pair<std::string, const StoredResult*>> entries;
  entries.reserve(contents.entries.size());
  for (const auto& [key, entry] : contents.entries)
    entries.emplace_back(DigestOf(KeyText(key)).Hex().substr(0, 16), &entry);
  // The same contents are the same bytes.
  std::ranges::sort(entries);
  const char* comma = "";
  for (const auto& [name, entry] : entries) {
    out += fmt::format("{}\n    \"{}\": ", comma, name);
    AppendJson(out, *entry);
    comma = ",";
  }
  out += "\n  },\n  \"tuning_records\": [";
  comma = "";
  contents.tunings.ForEach([&](const TuningRecord& record) {
    out += fmt::format("{}\n    ", comma);
    AppendJson(out, record);
    comma = ",";
  });
  const Counters& c = contents.counters;
  out += fmt::format(
      "\n  ],\n  \"statistics\": {{\"total_entries\": {}, \"created_at\": \"{}\", \"last_updated\": \"{}\", "
      "\"total_search_time_hours\": {}, \"cache_hits\": {}, \"cache_misses\": {}}}\n}}\n",
      contents.entries.size(), TimeText(c.created_unix), TimeText(c.last_updated_unix), c.search_ms / 3.6e6, c.hits,
      c.misses);
  return out;
}

std::string JournalHeader(const Architecture& architecture, std::string_view id) {
  return FramedLine("{" + HeadMembers(architecture, " ") + fmt::format(R"("journal": {}}})", Quoted(id)));
}

std::string FramedLine(std::string_view json) {
  return fmt::format("{:016x} {}\n", Hash64(json.data(), json.size()), json);
}

std::string JournalLine(const Change& change) { return FramedLine(ToJson(change)); }

struct LineReader::Parser {
  simdjson::dom::parser json;
};
LineReader::LineReader() : parser_(std::make_unique<Parser>()) {}
LineReader::~LineReader() = default;

std::optional<Change> LineReader::Read(std::string_view line, bool padded, std::string& why) {
  const std::string_view json = Unframe(line);
  element parsed;
  why = "the checksum of a line is wrong";
  if (json.empty() || parser_->json.parse(json.data(), json.size(), !padded).get(parsed) != simdjson::SUCCESS)
    return std::nullopt;
  return ReadChange(parsed, why);
}

Journal ReadJournal(const std::string& bytes, std::string_view architecture, Contents* contents, bool continued) {
  Journal journal;
  LineReader reader;
  std::string why;
  int damaged = 0;
  bool verify = false, in_header = !continued;
  for (std::size_t begin = 0, end = 0; (end = bytes.find('\n', begin)) != bytes.npos; begin = end + 1) {
    const std::string_view line = std::string_view(bytes).substr(begin, end - begin);
    journal.good_bytes = end + 1;
    if (in_header) {
      ReadHeader(line, architecture, journal, verify);
      if (!journal.verdict.refused.empty() || contents == nullptr) return journal;
      in_header = false;
      continue;
    }
    std::optional<Change> change = reader.Read(line, bytes.capacity() - end >= kPadding, why);
    if (!change) {
      NoteDamage(journal.verdict, why, damaged);
      continue;
    }
    std::int64_t time = 0;
    if (auto* entry = std::get_if<StoredResult>(&*change)) {
      entry->to_be_verified |= verify;
      time = entry->created_unix;
    } else if (const auto* record = std::get_if<TuningRecord>(&*change)) {
      time = record->created_unix;
    }
    contents->Apply(std::move(*change), time);
  }
  return journal;
}

}  // namespace gemmsmith::results
