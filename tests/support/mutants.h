#pragma once

#include <cctype>
#include <cstdint>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gemmsmith/kernel.h"
#include "util/log.h"

namespace gemmsmith::emulator {

/// What is planted, in words, and the reports that are right for it.
struct BugClass {
  const char* name;
  std::uint32_t right;  ///< See mutant_reports.h.
};

/// A kernel with one bug.
struct Mutant {
  const BugClass* bug = nullptr;
  std::string what, place;
  std::string code = {};                    ///< The line that is changed.
  std::string ptx = {};                     ///< Changed, or
  std::optional<KernelSource> source = {};  ///< to be compiled, or
  int plain_map = -1;                       ///< the number of the tensor map whose swizzle is gone.
};

/// What is done to each PTX instruction of one opcode, one after another.
struct PtxRule {
  enum class Action {
    kDelete,
    kDoNotWait,  ///< Its first operand becomes true.
    kAdd,        ///< `delta` to `operand`, which has `type`.
    kFlip,       ///< The lowest bit of `operand`.
    kReplace,    ///< `text` by `instead`.
    kMove,       ///< Behind the next instruction that begins with `text`.
    kTwice,
    kByOne,  ///< By one thread in 128 alone.
  };
  const char* opcode;  ///< How it begins.
  const BugClass* bug;
  Action action = Action::kDelete;
  std::size_t operand = 0;
  int delta = 0;
  const char *text = "", *instead = "";
  const char* type = "b32";
};

/// What is put in the place of each use of a name in the source, one after another.
struct SourceRule {
  const char* file;  ///< A header; empty: the source itself.
  const char* text;
  const char* instead;  ///< {}: the name.
  const BugClass* bug;
};

/// f(where it begins, line without blanks at its start) for each line of the text.
template <class F>
void ForEachLine(std::string_view text, F f) {
  for (std::size_t begin = 0, end; begin < text.size(); begin = end + 1) {
    end = std::min(text.find('\n', begin), text.size());
    const std::size_t first = std::min(text.find_first_not_of(" \t", begin), end);
    f(first, text.substr(first, end - first));
  }
}

/// The instructions alone: equal for sources that compilers make the same of.
inline std::string WithoutLines(std::string_view ptx) {
  std::string text;
  ForEachLine(ptx, [&](std::size_t, std::string_view line) {
    if (!line.starts_with(".loc") && !line.starts_with("//")) text.append(line).push_back('\n');
  });
  return text.substr(0, text.find(".file"));
}

/// Makes mutants of a kernel's PTX, where an instruction takes one line.
class PtxMutants {
 public:
  /// `name` is that of the source itself, which compilers call by another.
  PtxMutants(std::string ptx, const std::string& name) : ptx_(std::move(ptx)) {
    ForEachLine(ptx_, [&](std::size_t, std::string_view line) {
      std::istringstream words{std::string(line)};
      std::string directive, path;
      int number = 0;
      if (!(words >> directive >> number >> path) || directive != ".file" || path.size() < 2) return;
      path = path.substr(1, path.find('"', 1) - 1);
      path = path.substr(path.find_last_of('/') + 1);
      files_[number] = path == "gemmsmith.cu" ? name : path;
    });
  }

  void Apply(const PtxRule& rule, std::vector<Mutant>& to) const {
    std::string place = "?";
    ForEachLine(ptx_, [&](std::size_t begin, std::string_view text) {
      const std::string line(text);
      if (line.starts_with(".loc")) place = PlaceOf(line);
      const std::size_t opcode = OpcodeIn(line);
      if (line.compare(opcode, std::string_view(rule.opcode).size(), rule.opcode) != 0) return;
      Mutant mutant{.bug = rule.bug, .what = Describe(line.substr(opcode), rule), .place = place, .code = line};
      mutant.ptx = ptx_;
      if (rule.action == Action::kMove) {
        const std::size_t behind = EndOfNext(rule.text, begin + line.size());
        if (behind == ptx_.npos) return;
        mutant.ptx.insert(behind, "\n" + line);
      }
      const auto changed = Changed(line, opcode, rule);
      if (!changed) return;
      mutant.ptx.replace(begin, line.size(), *changed);
      to.push_back(std::move(mutant));
    });
  }

 private:
  using Action = PtxRule::Action;

  /// ".loc 1 90 3": line 90 of file 1.
  std::string PlaceOf(const std::string& line) const {
    std::istringstream words(line);
    std::string directive;
    int file = 0, number = 0;
    words >> directive >> file >> number;
    const auto name = files_.find(file);
    return fmt::format("{}:{}", name == files_.end() ? "?" : name->second, number);
  }
  static std::size_t OpcodeIn(const std::string& line) {
    if (!line.starts_with('@')) return 0;
    return std::min(line.find_first_not_of(" \t", std::min(line.find_first_of(" \t"), line.size())), line.size());
  }
  std::size_t EndOfNext(std::string_view opcode, std::size_t from) const {
    const std::size_t at = ptx_.find(opcode, from);
    return at == ptx_.npos ? at : ptx_.find('\n', at);
  }
  /// "cp.async.wait_group 2: deleted", without operands that are registers.
  static std::string Describe(std::string line, const PtxRule& rule) {
    const std::size_t blank = std::min(line.find_first_of(" \t;"), line.size());
    const std::size_t value = std::min(line.find_first_not_of(" \t;", blank), line.size());
    const bool is_number = value < line.size() && std::isdigit(static_cast<unsigned char>(line[value])) != 0;
    std::string operand = is_number ? " " + line.substr(value, line.find(';') - value) : "";
    line = line.substr(0, blank) + operand;
    switch (rule.action) {
      case Action::kDelete:
        return line + ": deleted";
      case Action::kDoNotWait:
        return line + ": true at once";
      case Action::kAdd:
        return fmt::format("{}: operand {} {:+}", line, rule.operand, rule.delta);
      case Action::kFlip:
        return fmt::format("{}: operand {} flipped", line, rule.operand);
      case Action::kReplace:
        return fmt::format("{}: {}", line, rule.instead);
      case Action::kMove:
        return fmt::format("{}: behind {}", line, rule.text);
      case Action::kTwice:
        return line + ": twice";
      case Action::kByOne:
        return line + ": by one thread alone";
    }
    return line;
  }
  /// Where the operands begin, and their lengths: commas within brackets part none.
  static std::vector<std::pair<std::size_t, std::size_t>> Operands(const std::string& line, std::size_t opcode) {
    std::vector<std::pair<std::size_t, std::size_t>> parts;
    int depth = 0;
    for (std::size_t at = line.find_first_of(" \t;", opcode), start = at; at < line.size(); ++at) {
      const char c = line[at];
      depth += c == '[' || c == '{' ? 1 : c == ']' || c == '}' ? -1 : 0;
      if (depth != 0 || (c != ',' && c != ';')) continue;
      start = line.find_first_not_of(" \t,", start);
      parts.emplace_back(start, at - start);
      start = at;
    }
    return parts;
  }
  /// The line as the rule makes it; empty if it has no such operand or text.
  static std::optional<std::string> Changed(std::string line, std::size_t opcode, const PtxRule& rule) {
    if (rule.action == Action::kDelete || rule.action == Action::kMove) return "";
    if (rule.action == Action::kTwice) return line + "\n" + line;
    if (rule.action == Action::kByOne)
      return "{ .reg .pred %alone; .reg .b32 %me; mov.u32 %me, %tid.x; and.b32 %me, %me, 127; setp.eq.b32 %alone, %me, "
             "0; "
             "@%alone " +
             line + " }";
    if (rule.action == Action::kReplace) {
      const std::string_view text = rule.text;
      const std::size_t at = line.find(text, opcode);
      if (at == line.npos) return std::nullopt;
      return line.replace(at, text.size(), rule.instead);
    }
    const auto operands = Operands(line, opcode);
    if (operands.size() <= rule.operand) return std::nullopt;
    const auto [at, length] = operands[rule.operand];
    const std::string value = line.substr(at, length);
    if (rule.action == Action::kDoNotWait) return fmt::format("setp.eq.b32 {}, 0, 0;", value);
    const bool flips = rule.action == Action::kFlip;
    if (value.find_first_not_of("-0123456789") == value.npos) {
      const int number = std::stoi(value);
      return line.replace(at, length, std::to_string(flips ? number ^ 1 : number + rule.delta));
    }
    // Another register for the value, in a scope of its own.
    line.replace(at, length, "%mutant");
    const std::string made = flips ? fmt::format("xor.{} %mutant, {}, 1;", rule.type, value)
                                   : fmt::format("add.s{} %mutant, {}, {};", rule.type + 1, value, rule.delta);
    return fmt::format("{{ .reg .{} %mutant; {} {} }}", rule.type, made, line);
  }

  std::string ptx_;
  std::map<int, std::string> files_;
};

/// Makes mutants of a kernel's source.
class SourceMutants {
 public:
  explicit SourceMutants(const KernelSource& source) : source_(source) {}

  /// Changes every use of the rule's name but where it is declared, in comments, and in what only the compiler sees.
  void Apply(const SourceRule& rule, std::vector<Mutant>& to) const {
    KernelSource copy = source_;
    const std::string* const text = TextOf(copy, rule.file);
    if (text == nullptr) return;
    const std::string name = rule.text;
    int number = 0;
    ForEachLine(*text, [&](std::size_t begin, std::string_view line) {
      ++number;
      if (DeclaresConstants(line)) return;
      const std::string_view code = line.substr(0, line.find("//"));
      for (std::size_t at = code.find(name); at != code.npos; at = code.find(name, at + 1)) {
        if (!Uses(code, at, name, rule)) continue;
        Mutant mutant{.bug = rule.bug,
                      .what = fmt::format("{} -> {}", name, fmt::format(fmt::runtime(rule.instead), name)),
                      .place = fmt::format("{}:{}", rule.file[0] == '\0' ? source_.name : rule.file, number),
                      .code = std::string(line)};
        mutant.source = source_;
        TextOf(*mutant.source, rule.file)
            ->replace(begin + at, name.size(), fmt::format(fmt::runtime(rule.instead), name));
        to.push_back(std::move(mutant));
      }
    });
  }

 private:
  static std::string* TextOf(KernelSource& source, std::string_view file) {
    if (file.empty()) return &source.text;
    for (SourceHeader& header : source.headers)
      if (header.name == file) return &header.text;
    return nullptr;
  }
  static bool DeclaresConstants(std::string_view line) {
    if (line.starts_with('#') || (line.starts_with('k') && line.find(" = ") != line.npos)) return true;
    for (const char* word : {"static_assert", "__launch_bounds__", "enum", "template", "static int", "__shared__"})
      if (line.find(word) != line.npos) return true;
    return false;
  }
  /// Whether it is the whole name there, and its value is used. A name in capitals may be a function's.
  static bool Uses(std::string_view code, std::size_t at, std::string_view name, const SourceRule& rule) {
    const auto is_part = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == ':' || c == '.' || c == '+';
    };
    const std::size_t behind = at + name.size();
    if ((at > 0 && is_part(code[at - 1])) || (behind < code.size() && is_part(code[behind]))) return false;
    if (std::string_view(rule.instead).find("{}") == std::string_view::npos) return true;
    const std::string_view rest = code.substr(std::min(code.find_first_not_of(' ', behind), code.size()));
    const bool is_function = rest.starts_with('(');
    if (is_function) return std::isupper(static_cast<unsigned char>(name[0])) != 0;
    const bool assigned = rest.starts_with('=') && !rest.starts_with("==");
    return !assigned && !rest.starts_with("+=") && !rest.starts_with("-=") && !rest.starts_with("^=");
  }

  const KernelSource& source_;
};

}  // namespace gemmsmith::emulator
