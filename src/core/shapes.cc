#include "gemmsmith/shapes.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>

#include "util/embedded.h"
#include "util/log.h"

namespace gemmsmith {
namespace {

constexpr std::size_t kMaxProblems = 100'000;
constexpr std::size_t kMaxBytes = 16 << 20;
constexpr std::size_t kMaxNameLength = 80;
constexpr std::int64_t kMaxSize = std::int64_t{1} << 40;
constexpr std::string_view kExtension = ".shapes";

/// What a file says, fit for a terminal: short, and without control characters.
std::string Quoted(std::string_view text) {
  constexpr std::size_t kMaxShown = 40;
  std::string shown(text.substr(0, kMaxShown));
  std::replace_if(
      shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return '"' + shown + (text.size() > kMaxShown ? "...\"" : "\"");
}

/// Calls `visit` for each part of `text` between separators; empty parts too.
template <class Visit>
void ForEachPart(std::string_view text, char separator, Visit visit) {
  for (;;) {
    const std::size_t end = text.find(separator);
    visit(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

std::vector<std::string_view> Fields(std::string_view line) {
  constexpr std::string_view kBlank = " \t\r";
  line = line.substr(0, line.find('#'));
  std::vector<std::string_view> fields;
  for (std::size_t begin = 0; (begin = line.find_first_not_of(kBlank, begin)) != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(kBlank, begin), line.size());
    fields.push_back(line.substr(begin, end - begin));
    begin = end;
  }
  return fields;
}

template <class T>
bool ParseNumber(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::int64_t ParseSize(std::string_view what, std::string_view text, std::int64_t least) {
  std::int64_t value = 0;
  if (!ParseNumber(text, value) || value < least || value > kMaxSize)
    throw Fail(Code::kInvalidArgument, "", "{}={} is not a whole number from {} to {}", what, Quoted(text), least,
               kMaxSize);
  return value;
}

std::vector<std::int64_t> ParseSizes(std::string_view what, std::string_view text) {
  std::vector<std::int64_t> sizes;
  ForEachPart(text, ',', [&](std::string_view part) { sizes.push_back(ParseSize(what, part, 0)); });
  return sizes;
}

double ParseBeta(std::string_view text) {
  double value = 0;
  if (!ParseNumber(text, value) || !std::isfinite(value))
    throw Fail(Code::kInvalidArgument, "", "beta={} is not a finite number", Quoted(text));
  return value;
}

std::string CheckedName(std::string_view name) {
  const auto allowed = [](unsigned char c) {
    return (c < 128 && std::isalnum(c)) ||
           std::string_view("._-+/:").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (name.size() > kMaxNameLength || !std::all_of(name.begin(), name.end(), allowed))
    throw Fail(Code::kInvalidArgument, "",
               "the name {} is not made of at most {} letters, digits and . _ - + / :", Quoted(name), kMaxNameLength);
  return std::string(name);
}

struct Settings {
  std::string_view dtype = "f32", layout = "nn", batch = "1", beta = "0", compute = "ieee", scaling = "none",
                   grouping = "none";
};

Settings ParseSettings(std::span<const std::string_view> fields) {
  Settings settings;
  struct Slot {
    std::string_view name;
    std::string_view& value;
    bool given = false;
  };
  std::array<Slot, 7> slots{{{"dtype", settings.dtype},
                             {"layout", settings.layout},
                             {"batch", settings.batch},
                             {"beta", settings.beta},
                             {"compute", settings.compute},
                             {"scaling", settings.scaling},
                             {"grouping", settings.grouping}}};
  for (const std::string_view field : fields) {
    const std::size_t equals = std::min(field.find('='), field.size());
    const auto slot =
        std::find_if(slots.begin(), slots.end(), [&](const Slot& s) { return s.name == field.substr(0, equals); });
    if (slot == slots.end() || equals == field.size())
      throw Fail(Code::kInvalidArgument,
                 "there are dtype=, layout=, batch=, beta=, compute=, scaling= and grouping=", "unknown setting {}",
                 Quoted(field));
    if (slot->given) throw Fail(Code::kInvalidArgument, "", "{}= is given twice", slot->name);
    slot->given = true;
    slot->value = field.substr(equals + 1);
  }
  return settings;
}

/// Names in dtype and layout errors come from the file: they must be shown as harmlessly as the rest.
void CheckWord(std::string_view what, std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ',' || c == ':' || c == '_';
  };
  if (text.size() > kMaxNameLength || !std::all_of(text.begin(), text.end(), allowed))
    throw Fail(Code::kInvalidArgument, "", "{}={} is not known", what, Quoted(text));
}

void ParseLine(std::string_view line, std::vector<NamedProblem>& problems) {
  const std::vector<std::string_view> fields = Fields(line);
  if (fields.empty()) return;
  const std::string name = CheckedName(fields[0]);
  if (fields.size() < 4)
    throw Fail(Code::kInvalidArgument, "write: name m n k [setting=value ...]",
               "{} fields after the name, at least 3 wanted", fields.size() - 1);
  const std::vector<std::int64_t> ms = ParseSizes("m", fields[1]), ns = ParseSizes("n", fields[2]),
                                  ks = ParseSizes("k", fields[3]);
  const Settings settings = ParseSettings(std::span(fields).subspan(4));
  CheckWord("dtype", settings.dtype);
  CheckWord("layout", settings.layout);
  CheckWord("compute", settings.compute);
  CheckWord("scaling", settings.scaling);
  CheckWord("grouping", settings.grouping);
  const double beta = ParseBeta(settings.beta);
  const std::int64_t batch = ParseSize("batch", settings.batch, 1);
  if (static_cast<double>(ms.size()) * ns.size() * ks.size() + problems.size() > kMaxProblems)
    throw Fail(Code::kInvalidArgument, "split the file", "more than {} problems", kMaxProblems);
  for (const std::int64_t n : ns)
    for (const std::int64_t k : ks)
      for (const std::int64_t m : ms) {
        GemmProblem problem =
            MakeProblem(m, n, k, DType::kF32, settings.layout, beta == 0 ? BetaClass::kZero : BetaClass::kGeneral);
        SetDTypes(problem, settings.dtype);
        SetCompute(problem, settings.compute);
        SetBatch(problem, batch);
        SetGrouping(problem, settings.grouping);
        SetScaling(problem, settings.scaling);
        problems.push_back({name, problem, beta});
      }
}

std::string BuiltinName(const EmbeddedFile& file) {
  return std::string(file.name.substr(0, file.name.size() - kExtension.size()));
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  // Reading a folder fails only here; a device or pipe may have no end, hence the limit.
  if (file) {
    text.resize(kMaxBytes + 1);
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
  }
  if (!file.eof() && text.size() <= kMaxBytes) {
    std::string names;
    for (const std::string& name : BuiltinShapes()) names += (names.empty() ? "" : ", ") + name;
    throw Fail(Code::kIo, "name a readable file, or one of the built-in lists: " + names,
               "cannot read the shapes file \"{}\"", path);
  }
  return text;
}

}  // namespace

std::vector<NamedProblem> ParseShapes(std::string_view text, const std::string& origin) {
  if (text.size() > kMaxBytes)
    throw Fail(Code::kInvalidArgument, "split it", "{}: a shapes file may have at most {} bytes", origin, kMaxBytes);
  std::vector<NamedProblem> problems;
  std::int64_t number = 0;
  ForEachPart(text, '\n', [&](std::string_view line) {
    ++number;
    try {
      ParseLine(line, problems);
    } catch (const Error& error) {
      throw Fail(Code::kInvalidArgument, error.remedy(), "{}:{}: {}", origin, number, error.message());
    }
  });
  return problems;
}

std::vector<NamedProblem> ReadShapes(const std::string& path) {
  for (const EmbeddedFile& file : Embedded_shapes())
    if (BuiltinName(file) == path) return ParseShapes(file.text, path);
  return ParseShapes(ReadText(path), path);
}

std::vector<std::string> BuiltinShapes() {
  std::vector<std::string> names;
  for (const EmbeddedFile& file : Embedded_shapes()) names.push_back(BuiltinName(file));
  return names;
}

}  // namespace gemmsmith
