// The tables of docs/emulator.md are those that the emulator runs by.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "runtime/emulator/isa/row.h"
#include "runtime/emulator/isa/special.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

constexpr const char* kDocument = GEMMSMITH_SOURCE_DIR "/docs/emulator.md";
constexpr std::string_view kBegin = "<!-- from the instruction tables -->\n",
                           kEnd = "<!-- end of the instruction tables -->\n";

/// Choices that many forms share, under the names that the document explains.
std::string Shortened(std::string form) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"{relaxed,acquire,release,acq_rel}", "ORDER"},
      {"{cta,cluster,gpu,sys}", "SCOPE"},
      {"{global,shared,shared::cta,shared::cluster}", "SPACE"},
  };
  for (const auto& [choices, name] : kNames)
    for (std::size_t at = form.find(choices); at != form.npos; at = form.find(choices, at))
      form.replace(at, choices.size(), name);
  return form;
}

std::string Needed(const Row& row) {
  const std::string version = fmt::format("{}.{}", row.ptx / 10, row.ptx % 10);
  return row.sm == 0 ? version : fmt::format("{}, sm_{}", version, row.sm);
}

/// A section for each category, in it the forms by mnemonic.
std::string Tables() {
  std::map<Category, std::map<std::string, std::vector<const Row*>>> categories;
  for (const std::span<const Row> family : AllRows())
    for (const Row& row : family)
      categories[row.category][std::string(row.form.substr(0, row.form.find_first_of(".[")))].push_back(&row);
  std::string text;
  for (const auto& [category, mnemonics] : categories) {
    text += fmt::format("\n### {}\n\n| form | since PTX |\n|---|---|\n", ToString(category));
    for (const auto& [mnemonic, rows] : mnemonics)
      for (const Row* row : rows)
        text += fmt::format("| `{}` | {} |\n", Shortened(std::string(row->form)), Needed(*row));
  }
  text += "\n### special registers\n\n";
  std::string line;
  for (const SpecialRow& row : SpecialRegisters()) {
    if (line.size() + row.name.size() > 115) {
      text += line + "\n";
      line.clear();
    }
    line += fmt::format("{}`{}`", line.empty() ? "" : " ", row.name);
  }
  return text + line + "\n\n";
}

TEST(EmulatorDocument, ListsTheInstructionsThatTheTablesHold) {
  std::stringstream stream;
  stream << std::ifstream(kDocument).rdbuf();
  const std::string document = stream.str();
  const std::size_t begin = document.find(kBegin), end = document.find(kEnd);
  ASSERT_NE(begin, document.npos) << kDocument << " has lost its mark: " << kBegin;
  ASSERT_NE(end, document.npos) << kDocument << " has lost its mark: " << kEnd;
  const std::size_t first = begin + kBegin.size();
  const std::string now = document.substr(0, first) + Tables() + document.substr(end);
  if (std::getenv("GEMMSMITH_UPDATE_GOLDEN") != nullptr) std::ofstream(kDocument) << now;
  std::istringstream a(document), b(now);
  int number = 0;
  for (std::string old_line, new_line; std::getline(b, new_line);) {
    ++number;
    if (!std::getline(a, old_line)) old_line = "(its end)";
    ASSERT_EQ(old_line, new_line) << "docs/emulator.md:" << number
                                  << ": the instruction tables have changed; write the document anew by "
                                     "GEMMSMITH_UPDATE_GOLDEN=1 emulator_table_golden_test, and look at the difference";
  }
  EXPECT_EQ(document, now);
}

}  // namespace
}  // namespace gemmsmith::emulator
