// The instruction table itself: every row can be reached, and says what it takes.
#include <gmock/gmock.h>

#include <sstream>

#include "gemmsmith/error.h"
#include "runtime/emulator/isa/row.h"

namespace gemmsmith::emulator {
namespace {

/// One instruction of a form: the first or last of each choice, with all optional modifiers or none.
ptx::Instruction Instance(std::string_view form, bool last, bool optional) {
  ptx::Instruction instruction;
  const std::size_t end = form.find_first_of(".[");
  instruction.mnemonic = form.substr(0, end);
  instruction.text = form;
  form.remove_prefix(std::min(end, form.size()));
  while (!form.empty()) {
    const bool may_miss = form[0] == '[';
    form.remove_prefix(may_miss ? 2 : 1);
    const bool braces = form[0] == '{';
    const std::size_t stop = braces ? form.find('}') + 1 : std::min(form.find_first_of(".[]"), form.size());
    std::string choices(form.substr(braces ? 1 : 0, stop - (braces ? 2 : 0)));
    form.remove_prefix(stop + (may_miss ? 1 : 0));
    const std::size_t comma = last ? choices.rfind(',') : choices.find(',');
    if (comma != std::string::npos) choices = last ? choices.substr(comma + 1) : choices.substr(0, comma);
    if (!may_miss || optional) instruction.modifiers.push_back(choices);
  }
  return instruction;
}

TEST(InstructionTable, EachRowIsReachedByAnInstructionOfItsForm) {
  int rows = 0;
  for (const std::span<const Row> family : AllRows())
    for (const Row& row : family) {
      ++rows;
      bool reached = false;
      for (const bool last : {false, true})
        for (const bool optional : {false, true}) {
          Form form;
          const Row& found = FindRow(Instance(row.form, last, optional), 999, 999, form);
          reached = reached || &found == &row;
        }
      EXPECT_TRUE(reached) << row.form << " is hidden by rows before it";
    }
  EXPECT_GT(rows, 200);
}

TEST(InstructionTable, RowsExecuteSomethingAndDescribeTheirOperands) {
  for (const std::span<const Row> family : AllRows())
    for (const Row& row : family) {
      EXPECT_TRUE(row.select != nullptr || row.prepare != nullptr) << row.form;
      EXPECT_FALSE(ToString(row.category).empty()) << row.form;
      EXPECT_GE(row.ptx, 10) << row.form;
      std::istringstream specs{std::string(row.operands)};
      for (std::string spec; specs >> spec;)
        EXPECT_THAT(spec, testing::MatchesRegex("[dswDSVUaic][a-z0-9]*(\\|d[a-z0-9]*)?\\??")) << row.form;
    }
}

TEST(InstructionTable, EveryFormOfFixedOperandsHasAnExecution) {
  for (const std::span<const Row> family : AllRows())
    for (const Row& row : family) {
      if (row.select == nullptr || row.operands.empty()) continue;
      for (const bool last : {false, true}) {
        const ptx::Instruction instruction = Instance(row.form, last, true);
        Form form;
        form.instruction = &instruction;
        for (const std::string& word : instruction.modifiers)
          if (const auto type = ptx::ParseScalarType(word)) form.types.push_back(*type);
        EXPECT_NE(row.select(form), nullptr) << row.form;
      }
    }
}

TEST(InstructionTable, VersionsAndArchitecturesAreRequired) {
  ptx::Instruction instruction;
  instruction.mnemonic = "tanh";
  instruction.modifiers = {"approx", "f32"};
  Form form;
  EXPECT_EQ(FindRow(instruction, 70, 75, form).form, "tanh.approx.f32");
  EXPECT_THROW(FindRow(instruction, 65, 75, form), Error);
  EXPECT_THROW(FindRow(instruction, 70, 70, form), Error);
}

}  // namespace
}  // namespace gemmsmith::emulator
