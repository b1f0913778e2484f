#include <algorithm>
#include <map>

#include "runtime/emulator/isa/row.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

using Words = std::span<const std::string>;

/// Takes one of "{a,b,c}" or "name" at the front of `form`.
std::string_view TakeChoices(std::string_view& form) {
  const bool braces = form.starts_with('{');
  const std::size_t end = braces ? form.find('}') + 1 : std::min(form.find_first_of(".[]"), form.size());
  std::string_view choices = form.substr(0, end);
  form.remove_prefix(end);
  if (braces) choices = choices.substr(1, choices.size() - 2);
  return choices;
}

bool IsAmong(std::string_view choices, std::string_view word) {
  for (;;) {
    const std::size_t comma = choices.find(',');
    if (choices.substr(0, comma) == word) return true;
    if (comma == choices.npos) return false;
    choices.remove_prefix(comma + 1);
  }
}

/// Whether `words` are what is left of the form: ".rn[.ftz].{f32,f64}".
bool Matches(std::string_view form, Words words) {
  if (form.empty()) return words.empty();
  const bool optional = form[0] == '[';
  form.remove_prefix(optional ? 2 : 1);  // "[." or "."
  const std::string_view choices = TakeChoices(form);
  if (optional) form.remove_prefix(1);  // "]"
  if (!words.empty() && IsAmong(choices, words[0]) && Matches(form, words.subspan(1))) return true;
  return optional && Matches(form, words);
}

using Index = std::map<std::string_view, std::vector<const Row*>, std::less<>>;

const Index& RowsByMnemonic() {
  static const auto* const index = [] {
    auto* const rows = new Index;
    for (const std::span<const Row> family : AllRows())
      for (const Row& row : family) (*rows)[row.form.substr(0, row.form.find_first_of(".["))].push_back(&row);
    return rows;
  }();
  return *index;
}

Error Refusal(const ptx::Instruction& instruction, std::string_view why) {
  return Fail(Code::kUnsupported, "", "ptx:{}:{}: the emulator does not run `{}`: {}", instruction.at.line,
              instruction.at.column, instruction.text, why);
}

}  // namespace

std::string_view ToString(Category category) {
  static constexpr std::string_view kNames[] = {"integer", "float",  "half",   "compare", "move",
                                                "convert", "memory", "atomic", "control", "barrier",
                                                "warp",    "fence",  "matrix", "copy"};
  return kNames[static_cast<std::size_t>(category)];
}

bool Form::Has(std::string_view modifier) const {
  const auto& words = instruction->modifiers;
  return std::find(words.begin(), words.end(), modifier) != words.end();
}

std::span<const std::span<const Row>> AllRows() {
  static const std::span<const Row> families[] = {
      IntegerRows(),    BitRows(),        FloatRows(),     HalfRows(),      CompareRows(),      MoveRows(),
      ConvertRows(),    MemoryRows(),     AtomicRows(),    ControlRows(),   BarrierRows(),      WarpRows(),
      MatrixLoadRows(), MmaRows(),        WmmaRows(),      AsyncCopyRows(), MbarrierRows(),     ClusterRows(),
      BulkCopyRows(),   TensorCopyRows(), WarpgroupRows(), TensorMapRows(), TensorMemoryRows(), TensorProductRows()};
  return families;
}

const Row& FindRow(const ptx::Instruction& instruction, int ptx_version, int sm, Form& form) {
  form.instruction = &instruction;
  form.types.clear();
  for (const std::string& word : instruction.modifiers)
    if (const auto type = ptx::ParseScalarType(word)) form.types.push_back(*type);
  const auto found = RowsByMnemonic().find(instruction.mnemonic);
  if (found == RowsByMnemonic().end()) throw Refusal(instruction, "it is in no row of the instruction table");
  const Row* late = nullptr;
  for (const Row* row : found->second) {
    const std::string_view rest = row->form.substr(std::min(row->form.find_first_of(".["), row->form.size()));
    if (!Matches(rest, instruction.modifiers)) continue;
    if (row->ptx <= ptx_version && row->sm <= sm) return *row;
    late = row;
  }
  if (late == nullptr)
    throw Refusal(instruction, fmt::format("no form of {} has these modifiers", instruction.mnemonic));
  if (late->sm > sm) throw Refusal(instruction, fmt::format("it needs sm_{}, this is code for sm_{}", late->sm, sm));
  throw Refusal(instruction, fmt::format("it needs PTX {}.{}, this is {}.{}", late->ptx / 10, late->ptx % 10,
                                         ptx_version / 10, ptx_version % 10));
}

}  // namespace gemmsmith::emulator
