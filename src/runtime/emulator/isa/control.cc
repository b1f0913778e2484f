// Branches, calls, ends.
#include <cstdio>

#include "runtime/emulator/isa/decoder.h"
#include "runtime/emulator/isa/map.h"
#include "runtime/emulator/isa/print.h"
#include "runtime/emulator/machine/access.h"
#include "runtime/emulator/machine/cta.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

using Kind = ptx::Operand::Kind;
using ptx::ScalarType;

void Branch(Warp& warp, const Instruction& i) { warp.Branch(i.target, warp.mask()); }

void BranchIndexed(Warp& warp, const Instruction& i) {
  const auto& table = *static_cast<const JumpTable*>(i.extra);
  const auto index = warp.Get<std::uint32_t>(i.operands[0]);
  std::uint32_t targets[kLanes] = {};
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    if (index[lane] >= table.targets.size())
      throw warp.Fault(i, lane, fmt::format("jumps to target {} of {}", index[lane], table.targets.size()));
    targets[lane] = table.targets[index[lane]];
  }
  warp.BranchEach(targets);
}

void Return(Warp& warp, const Instruction&) { warp.Return(warp.mask()); }
void Exit(Warp& warp, const Instruction&) { warp.Exit(warp.mask()); }
void Trap(Warp& warp, const Instruction& i) {
  throw warp.Fault(i, std::countr_zero(warp.mask()), "the kernel stops itself (trap)");
}
void Breakpoint(Warp& warp, const Instruction& i) {
  throw warp.Fault(i, std::countr_zero(warp.mask()), "the kernel has reached a breakpoint");
}
void Sleep(Warp& warp, const Instruction&) {
  warp.group().jumps_back += 1000;
  warp.Yield();
}
void Nothing(Warp&, const Instruction&) {}

void CallDirect(Warp& warp, const Instruction& i) {
  const auto& site = *static_cast<const CallSite*>(i.extra);
  warp.Call(*site.function, site);
}

/// Lanes with one target go together; the rest of them are executed after.
void CallIndirect(Warp& warp, const Instruction& i) {
  const auto& site = *static_cast<const CallSite*>(i.extra);
  const auto address = warp.Get<std::uint64_t>(i.operands[0]);
  const int first = std::countr_zero(warp.mask());
  const std::uint64_t target = address[first];
  const auto& functions = *warp.cta().launch().functions;
  const std::uint64_t index = target & ~kFunctionWindow;
  if ((target >> kWindowShift) != (kFunctionWindow >> kWindowShift) || index >= functions.size() ||
      !functions[index]->defined)
    throw warp.Fault(i, first, fmt::format("calls {:#x}, which is no function", target));
  std::uint32_t lanes = 0;
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    if (address[lane] == target) lanes |= std::uint32_t{1} << lane;
  }
  warp.CallSome(*functions[index], site, lanes);
}

/// An argument of a function that the device brings along, of lane `lane`.
std::uint64_t ArgumentOf(Warp& warp, const CallSite& site, std::size_t index, int lane) {
  const ParameterSlot& slot = site.arguments.at(index);
  std::uint64_t value = 0;
  std::memcpy(&value, warp.frame().registers + slot.slot + static_cast<std::size_t>(lane) * slot.bytes,
              std::min<std::size_t>(slot.bytes, 8));
  return value;
}

std::string TextAt(Warp& warp, const Instruction& i, int lane, std::uint64_t address) {
  constexpr std::size_t kLongest = 1 << 16;
  std::string text;
  while (text.size() < kLongest) {
    const auto* const at = ResolveGeneric(warp, i, lane, address + text.size(), AccessKind::kRead, 1);
    if (*at == std::byte{0}) break;
    text += static_cast<char>(*at);
  }
  return text;
}

/// int vprintf(const char* format, const void* values): one lane's text after the other's.
void CallPrint(Warp& warp, const Instruction& i) {
  const auto& site = *static_cast<const CallSite*>(i.extra);
  for (std::uint32_t m = warp.mask(); m != 0; m &= m - 1) {
    const int lane = std::countr_zero(m);
    const std::string format = TextAt(warp, i, lane, ArgumentOf(warp, site, 0, lane));
    const std::uint64_t values = ArgumentOf(warp, site, 1, lane);
    int count = 0;
    const auto read = [&](std::uint64_t offset, unsigned bytes) {
      std::uint64_t value = 0;
      std::memcpy(&value, ResolveGeneric(warp, i, lane, values + offset, AccessKind::kRead, bytes), bytes);
      return value;
    };
    const auto text = [&](std::uint64_t address) { return TextAt(warp, i, lane, address); };
    const std::string line = FormatPrint(format, read, text, count);
    std::fwrite(line.data(), 1, line.size(), stdout);
    for (const ParameterSlot& result : site.results)
      std::memcpy(warp.frame().registers + result.slot + static_cast<std::size_t>(lane) * result.bytes, &count,
                  std::min<std::size_t>(result.bytes, sizeof(count)));
  }
}

/// void __assertfail(message, file, line, function, char_size)
void CallAssertFailed(Warp& warp, const Instruction& i) {
  const auto& site = *static_cast<const CallSite*>(i.extra);
  const int lane = std::countr_zero(warp.mask());
  const auto text = [&](std::size_t index) { return TextAt(warp, i, lane, ArgumentOf(warp, site, index, lane)); };
  throw warp.Fault(i, lane,
                   fmt::format("{}:{}: assertion `{}` of {} failed", text(1),
                               ArgumentOf(warp, site, 2, lane) & 0xffffffff, text(0), text(3)));
}

struct BuiltIn {
  std::string_view name;
  std::size_t arguments;
  Execute execute;
  std::uint8_t flags;
};
// Printing goes through the scheduler, so that lines come in the same order in every run.
constexpr BuiltIn kBuiltIns[] = {{"vprintf", 2, CallPrint, kCommunicates}, {"__assertfail", 5, CallAssertFailed, 0}};

ParameterSlot SlotOf(Decoder& decoder, const ptx::Operand& operand) {
  if (operand.kind == Kind::kName && !decoder.IsRegister(operand.name)) {
    const Symbol* const symbol = decoder.FindSymbol(operand.name);
    if (symbol != nullptr && symbol->kind == Symbol::Kind::kParameter)
      return {static_cast<std::uint32_t>(symbol->value), static_cast<std::uint32_t>(symbol->bytes), false};
  }
  const auto [found, type] = decoder.Register(operand);
  if (found.lane_bytes == 0) throw decoder.Refuse("predicates cannot be passed");
  return {found.slot, found.lane_bytes, true};
}

/// call[.uni] [(results),] target [, (arguments)] [, prototype];
void PrepareCall(Decoder& decoder, Instruction& out) {
  CallSite site;
  std::size_t next = 0;
  const auto take_list = [&](std::vector<ParameterSlot>& slots) {
    if (next >= decoder.operand_count() || decoder.operand(next).kind != Kind::kList) return;
    for (const ptx::Operand& part : decoder.operand(next).parts) slots.push_back(SlotOf(decoder, part));
    ++next;
  };
  take_list(site.results);
  if (next >= decoder.operand_count() || decoder.operand(next).kind != Kind::kName)
    throw decoder.Refuse("a function belongs behind the results");
  const ptx::Operand& target = decoder.operand(next++);
  take_list(site.arguments);
  if (decoder.IsRegister(target.name)) {
    decoder.Push(decoder.Source(target, ScalarType::kB64));
    out.execute = CallIndirect;
  } else {
    const Symbol* const symbol = decoder.FindSymbol(target.name);
    if (symbol == nullptr || symbol->kind != Symbol::Kind::kFunction)
      throw decoder.Refuse(fmt::format("there is no function {}", target.name));
    site.function = decoder.FunctionAt(symbol->value);
    out.execute = CallDirect;
    for (const BuiltIn& function : kBuiltIns) {
      if (function.name != target.name) continue;
      if (site.arguments.size() != function.arguments)
        throw decoder.Refuse(fmt::format("{} takes {} arguments", function.name, function.arguments));
      out.execute = function.execute;
      out.flags |= function.flags;
    }
    if (out.execute == CallDirect && !decoder.IsDefined(target.name))
      throw decoder.Refuse(fmt::format("{} is declared, but not defined", target.name));
  }
  out.extra = decoder.Keep(std::move(site));
}

void PrepareBranch(Decoder& decoder, Instruction& out) {
  if (decoder.operand_count() != 1 || decoder.operand(0).kind != Kind::kName) throw decoder.Refuse("it takes a label");
  out.target = decoder.Target(decoder.operand(0).name);
}

void PrepareBranchIndexed(Decoder& decoder, Instruction& out) {
  if (decoder.operand_count() != 2) throw decoder.Refuse("it takes an index and a list of targets");
  decoder.Push(decoder.Source(decoder.operand(0), ScalarType::kB32));
  const std::vector<std::string>* const names = decoder.FindTargets(decoder.operand(1).name);
  if (names == nullptr) throw decoder.Refuse(fmt::format("there are no .branchtargets {}", decoder.operand(1).name));
  JumpTable table;
  for (const std::string& name : *names) table.targets.push_back(decoder.Target(name));
  out.extra = decoder.Keep(std::move(table));
}

#define GEMMSMITH_EXECUTE(function) [](const Form&) -> Execute { return function; }
constexpr Category kCategory = Category::kControl;

constexpr Row kRows[] = {
    {"bra[.uni]", "", kCategory, 10, 0, GEMMSMITH_EXECUTE(Branch), PrepareBranch},
    {"brx.idx[.uni]", "", kCategory, 60, 30, GEMMSMITH_EXECUTE(BranchIndexed), PrepareBranchIndexed},
    {"call[.uni]", "", kCategory, 20, 0, nullptr, PrepareCall},
    {"ret[.uni]", "", kCategory, 10, 0, GEMMSMITH_EXECUTE(Return)},
    {"exit", "", kCategory, 10, 0, GEMMSMITH_EXECUTE(Exit)},
    {"trap", "", kCategory, 10, 0, GEMMSMITH_EXECUTE(Trap)},
    {"brkpt", "", kCategory, 10, 0, GEMMSMITH_EXECUTE(Breakpoint)},
    {"nanosleep.u32", "s", kCategory, 63, 70, GEMMSMITH_EXECUTE(Sleep), nullptr, kPolls},
    {"griddepcontrol.{launch_dependents,wait}", "", kCategory, 78, 90, GEMMSMITH_EXECUTE(Nothing)},
    {"pmevent[.mask]", "i", kCategory, 14, 0, GEMMSMITH_EXECUTE(Nothing)},
};

}  // namespace

std::span<const Row> ControlRows() { return kRows; }

}  // namespace gemmsmith::emulator
