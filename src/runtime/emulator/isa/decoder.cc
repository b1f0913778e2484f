#include "runtime/emulator/isa/decoder.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/emulator/isa/special.h"
#include "runtime/emulator/machine/register_watch.h"
#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

using ptx::ScalarType;
using Kind = ptx::Operand::Kind;

/// A frame: more than this per lane no kernel needs, and malformed text may not ask for.
constexpr std::uint32_t kMaxFrameBytes = 64 << 20;

constexpr std::uint64_t kMaxKernelParameters = 32764;

int LaneBytes(ScalarType type) {
  const int bits = ptx::Bits(type);
  return bits == 1 ? 0 : bits <= 32 ? 4 : bits / 8;
}

std::uint32_t SlotBytes(ScalarType type) {
  return type == ScalarType::kPred ? 4 : static_cast<std::uint32_t>(LaneBytes(type) * kLanes);
}

}  // namespace

Decoder::Decoder(const ptx::Module& module, const ptx::Function& source, const ModuleSymbols& symbols,
                 const std::vector<std::unique_ptr<Function>>& functions, int sm, Function& out)
    : module_(module), function_(source), symbols_(symbols), functions_(functions), sm_(sm), out_(out) {}

void Decoder::Run() {
  DeclareNames();
  DeclareParameters();
  for (const ptx::Instruction& instruction : function_.instructions) DecodeOne(instruction);
  Finish();
}

Error Decoder::Refuse(std::string_view why) const {
  return Fail(Code::kUnsupported, "", "ptx:{}:{}: the emulator does not run `{}`: {}", source_->at.line,
              source_->at.column, source_->text, why);
}

std::uint32_t Decoder::Allocate(std::uint32_t bytes) {
  const std::uint32_t alignment = bytes >= 64 ? 64 : 4;
  frame_bytes_ = (frame_bytes_ + alignment - 1) / alignment * alignment;
  const std::uint32_t slot = frame_bytes_;
  if (bytes > kMaxFrameBytes - frame_bytes_)
    throw Fail(Code::kUnsupported, "", "ptx:{}: the registers of {} take more than {} bytes", function_.at.line,
               function_.name, kMaxFrameBytes);
  frame_bytes_ += bytes;
  return slot;
}

void Decoder::DeclareNames() {
  for (const ptx::RegisterRange& range : function_.registers) {
    const auto key = std::make_pair(range.scope, range.name);
    if (range.count == 0)
      registers_[key] = {range.type, Allocate(SlotBytes(range.type))};
    else
      ranges_[key] = {range.type, range.count};
  }
  for (const ptx::Variable& variable : function_.variables) {
    Symbol symbol{Symbol::Kind::kLocal, 0, variable.bytes};
    if (variable.space == ptx::StateSpace::kLocal) {
      out_.local_bytes = (out_.local_bytes + variable.alignment - 1) / variable.alignment * variable.alignment;
      symbol.value = out_.local_bytes;
      if (variable.bytes > (64u << 20) - out_.local_bytes)
        throw Fail(Code::kUnsupported, "", "ptx:{}: more than 64 MiB of local memory", variable.at.line);
      out_.local_bytes += static_cast<std::uint32_t>(variable.bytes);
    } else if (variable.space == ptx::StateSpace::kParam) {
      symbol.kind = Symbol::Kind::kParameter;
      if (variable.bytes > kMaxFrameBytes / kLanes)
        throw Fail(Code::kUnsupported, "", "ptx:{}: a parameter of {} bytes", variable.at.line, variable.bytes);
      symbol.value = Allocate(static_cast<std::uint32_t>(variable.bytes) * kLanes);
    } else {
      continue;  // Shared and global ones are the module's.
    }
    locals_[{variable.scope, variable.name}] = symbol;
  }
  for (const ptx::Label& label : function_.labels) labels_[{label.scope, label.name}] = label.instruction;
}

void Decoder::DeclareParameters() {
  std::uint64_t offset = 0;
  const auto declare = [&](const std::vector<ptx::Variable>& variables, std::vector<ParameterSlot>& slots) {
    for (const ptx::Variable& v : variables) {
      if (v.space == ptx::StateSpace::kRegister) {
        const std::uint32_t slot = Allocate(SlotBytes(v.type));
        registers_[{0, v.name}] = {v.type, slot};
        slots.push_back({slot, static_cast<std::uint32_t>(LaneBytes(v.type)), true});
      } else if (function_.entry) {
        offset = (offset + v.alignment - 1) / v.alignment * v.alignment;
        locals_[{0, v.name}] = {Symbol::Kind::kKernelParameter, offset, v.bytes};
        slots.push_back({static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(v.bytes), false});
        if (v.bytes > kMaxKernelParameters - std::min(offset, kMaxKernelParameters))
          throw Fail(Code::kUnsupported, "", "ptx:{}: the parameters of {} take more than {} bytes", v.at.line,
                     function_.name, kMaxKernelParameters);
        offset += v.bytes;
      } else {
        if (v.bytes > kMaxFrameBytes / kLanes)
          throw Fail(Code::kUnsupported, "", "ptx:{}: a parameter of {} bytes", v.at.line, v.bytes);
        const std::uint32_t slot = Allocate(static_cast<std::uint32_t>(v.bytes) * kLanes);
        locals_[{0, v.name}] = {Symbol::Kind::kParameter, slot, v.bytes};
        slots.push_back({slot, static_cast<std::uint32_t>(v.bytes), false});
      }
    }
  };
  declare(function_.parameters, out_.parameters);
  declare(function_.returns, out_.returns);
}

void Decoder::DecodeOne(const ptx::Instruction& instruction) {
  source_ = &instruction;
  pushed_.clear();
  reads_clock_ = false;
  const Row& row = FindRow(instruction, module_.version, sm_, form_);
  Instruction out;
  out.index = static_cast<std::uint32_t>(out_.instructions.size());
  out.flags = row.flags;
  DecodeGuard(instruction, out);
  if (!row.operands.empty() || row.prepare == nullptr) DecodeOperands(row, out);
  if (row.select != nullptr) out.execute = row.select(form_);
  if (row.prepare != nullptr) row.prepare(*this, out);
  if (out.execute == nullptr) throw Refuse("its types do not go together");
  if (reads_clock_) out.flags |= kReadsClock;
  out.count = static_cast<std::uint16_t>(pushed_.size());
  out_.operands.push_back(pushed_);
  out.operands = out_.operands.back().data();
  out_.instructions.push_back(out);
  const ptx::SourceLine& at = instruction.source;
  std::string file;
  if (at.line > 0 && static_cast<std::size_t>(at.file) < module_.files.size())
    file = fmt::format("{}:{}", module_.files[static_cast<std::size_t>(at.file)], at.line);
  out_.origins.push_back({instruction.text, instruction.at.line, std::move(file), &row});
}

void Decoder::DecodeGuard(const ptx::Instruction& instruction, Instruction& out) {
  if (instruction.guard.empty()) return;
  const Slot* const found = FindRegister(instruction.guard);
  if (found == nullptr || found->type != ScalarType::kPred)
    throw Refuse(fmt::format("{} is no predicate", instruction.guard));
  out.guard = found->slot;
  out.guarded = instruction.guard_negated ? Guard::kFalse : Guard::kTrue;
}

void Decoder::DecodeOperands(const Row& row, Instruction&) {
  std::string_view specs = row.operands;
  std::size_t next = 0;
  while (!specs.empty()) {
    const std::size_t end = std::min(specs.find(' '), specs.size());
    std::string_view spec = specs.substr(0, end);
    specs.remove_prefix(std::min(end + 1, specs.size()));
    if (spec == "c") {
      Push(Carry());
      continue;
    }
    const bool optional = spec.ends_with('?');
    if (optional) spec.remove_suffix(1);
    if (next >= operand_count()) {
      if (optional) continue;
      throw Refuse("an operand is missing");
    }
    const ptx::Operand& given = operand(next++);
    const std::size_t bar = spec.find('|');
    if (bar == spec.npos) {
      DecodeOperand(spec, given);
      continue;
    }
    const bool pair = given.kind == Kind::kPair;
    DecodeOperand(spec.substr(0, bar), pair ? given.parts[0] : given);
    ptx::Operand none;
    none.kind = Kind::kSink;
    DecodeOperand(spec.substr(bar + 1), pair ? given.parts[1] : none);
  }
  if (next != operand_count()) throw Refuse("there are too many operands");
}

/// The type that a spec's letters behind the first mean: "", "1", "w", "b32".
ScalarType Decoder::TypeOf(std::string_view word) const {
  if (word.empty()) return form_.type(0);
  if (word.size() == 1 && word[0] >= '0' && word[0] <= '9') return form_.type(static_cast<std::size_t>(word[0] - '0'));
  if (word == "w") return ptx::Bits(form_.type(0)) == 16 ? ScalarType::kB32 : ScalarType::kB64;
  return ptx::ParseScalarType(word).value_or(ScalarType::kNone);
}

void Decoder::DecodeOperand(std::string_view spec, const ptx::Operand& given) {
  const char kind = spec[0];
  const ScalarType type = TypeOf(kind == 'w' ? "w" : spec.substr(1));
  const auto each = [&](auto decode) {
    if (given.kind != Kind::kVector) return Push(decode(given));
    for (const ptx::Operand& part : given.parts) Push(decode(part));
  };
  switch (kind) {
    case 'd':
    case 'w':
      return Push(Destination(given, type));
    case 's':
      return Push(Source(given, type));
    case 'D':
      return Push(Destination(given, type, true));
    case 'S':
      return Push(Source(given, type, true));
    case 'V':
      return each([&](const ptx::Operand& part) { return Destination(part, type, true); });
    case 'U':
      return each([&](const ptx::Operand& part) { return Source(part, type, true); });
    case 'a':
      return Push(Address(given));
    case 'i':
      return Push(Constant(Immediate(given), 0, 8));
    default:
      throw Fail(Code::kInternal, "", "instruction table: \"{}\" is no operand", spec);
  }
}

const Decoder::Slot* Decoder::FindRegister(const std::string& name) {
  const std::size_t digits = name.find_last_not_of("0123456789") + 1;
  const std::string prefix = name.substr(0, digits);
  for (int scope = source_->scope; scope >= 0; scope = function_.scope_parents[static_cast<std::size_t>(scope)]) {
    if (const auto found = registers_.find({scope, name}); found != registers_.end()) return &found->second;
    const auto range = ranges_.find({scope, prefix});
    if (range == ranges_.end() || digits == name.size() || name.size() - digits > 8) continue;
    if (std::stoul(name.substr(digits)) >= range->second.second) continue;
    const ScalarType type = range->second.first;
    return &(registers_[{scope, name}] = {type, Allocate(SlotBytes(type))});
  }
  return nullptr;
}

const Symbol* Decoder::FindSymbol(const std::string& name) const {
  for (int scope = source_->scope; scope >= 0; scope = function_.scope_parents[static_cast<std::size_t>(scope)])
    if (const auto found = locals_.find({scope, name}); found != locals_.end()) return &found->second;
  // Shared and static variables of a function may share a name with another function's: theirs carry the function.
  for (int scope = source_->scope; scope >= 0; scope = function_.scope_parents[static_cast<std::size_t>(scope)])
    if (const auto own = symbols_.find(fmt::format("{}/{}/{}", function_.name, scope, name)); own != symbols_.end())
      return &own->second;
  const auto found = symbols_.find(name);
  return found == symbols_.end() ? nullptr : &found->second;
}

const std::vector<std::string>* Decoder::FindTargets(const std::string& name) const {
  for (const ptx::TargetList& list : function_.target_lists)
    if (list.name == name) return &list.targets;
  return nullptr;
}

bool Decoder::IsDefined(const std::string& function) const {
  return std::any_of(module_.functions.begin(), module_.functions.end(),
                     [&](const ptx::Function& f) { return f.name == function && f.defined; });
}

std::uint32_t Decoder::Target(const std::string& label) {
  for (int scope = source_->scope; scope >= 0; scope = function_.scope_parents[static_cast<std::size_t>(scope)])
    if (const auto found = labels_.find({scope, label}); found != labels_.end()) return found->second;
  throw Refuse(fmt::format("there is no label {}", label));
}

void Decoder::CheckSize(const Slot& found, ScalarType type, bool wider, const ptx::Operand& operand) const {
  const int have = ptx::Bits(found.type), want = ptx::Bits(type);
  const bool predicate = have == 1 || want == 1;
  if (have == want || (wider && !predicate && have > want)) return;
  // Devices have no registers of 8 bits, and PTX lets 16-bit ones stand for them.
  throw Refuse(fmt::format("{} has {} bits, {} takes {}", operand.name, have, source_->mnemonic, want));
}

Operand Decoder::Constant(std::uint64_t low, std::uint64_t high, int lane_bytes) {
  const auto [found, added] =
      constants_.try_emplace({low, high, lane_bytes}, static_cast<std::uint32_t>(out_.constants.size()));
  if (added) {
    const int copies = lane_bytes == 0 ? 1 : kLanes;
    const std::size_t bytes = lane_bytes == 0 ? 4 : static_cast<std::size_t>(lane_bytes);
    const std::uint64_t words[2] = {low, high};
    for (int i = 0; i < copies; ++i) {
      const auto* const begin = reinterpret_cast<const std::byte*>(words);
      out_.constants.insert(out_.constants.end(), begin, begin + bytes);
    }
    out_.constants.resize((out_.constants.size() + 15) / 16 * 16);
  }
  Operand operand;
  operand.base = Base::kConstant;
  operand.slot = found->second;
  operand.lane_bytes = static_cast<std::uint8_t>(lane_bytes);
  return operand;
}

std::optional<Operand> Decoder::FindSpecial(const std::string& name) {
  const SpecialRow* const row = FindSpecialRegister(name);
  if (row == nullptr) return std::nullopt;
  Operand operand;
  operand.base = Base::kSpecial;
  operand.slot = static_cast<std::uint32_t>(row->special) * kSpecialBytes;
  operand.lane_bytes = static_cast<std::uint8_t>(row->bits / 8);
  reads_clock_ = reads_clock_ || row->ticks;
  return operand;
}

Operand Decoder::Source(const ptx::Operand& given, ScalarType type, bool wider) {
  const int lane_bytes = LaneBytes(type);
  switch (given.kind) {
    case Kind::kName: {
      if (const Slot* const found = FindRegister(given.name)) {
        CheckSize(*found, type, wider, given);
        Operand operand;
        operand.slot = found->slot;
        operand.lane_bytes = static_cast<std::uint8_t>(LaneBytes(found->type));
        operand.negated = given.negated;
        return operand;
      }
      if (const auto special = FindSpecial(given.name)) {
        if (special->lane_bytes != lane_bytes) throw Refuse(fmt::format("{} has another size", given.name));
        return *special;
      }
      const Symbol* const symbol = FindSymbol(given.name);
      if (symbol == nullptr) throw Refuse(fmt::format("{} is not declared", given.name));
      if (symbol->kind != Symbol::Kind::kMemory && symbol->kind != Symbol::Kind::kShared &&
          symbol->kind != Symbol::Kind::kFunction)
        throw Refuse(fmt::format("{} cannot stand here", given.name));
      return Constant(symbol->value + static_cast<std::uint64_t>(given.offset), 0, lane_bytes);
    }
    case Kind::kInteger:
      if (type == ScalarType::kPred) return Constant((given.bits != 0) != given.negated ? kAllLanes : 0, 0, 0);
      return Constant(lane_bytes == 4 ? static_cast<std::uint32_t>(given.bits) : given.bits,
                      static_cast<std::int64_t>(given.bits) < 0 ? ~std::uint64_t{0} : 0, lane_bytes);
    case Kind::kFloat32:
      if (type == ScalarType::kF64)
        return Constant(std::bit_cast<std::uint64_t>(
                            static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(given.bits)))),
                        0, 8);
      return Constant(given.bits, 0, lane_bytes);
    case Kind::kFloat64:
      if (lane_bytes == 4)
        return Constant(std::bit_cast<std::uint32_t>(static_cast<float>(std::bit_cast<double>(given.bits))), 0, 4);
      return Constant(given.bits, 0, lane_bytes);
    default:
      throw Refuse("a register or a number belongs in the place of an operand");
  }
}

Operand Decoder::Destination(const ptx::Operand& given, ScalarType type, bool wider) {
  Operand operand;
  if (given.kind == Kind::kSink) {
    operand.sink = true;
    operand.lane_bytes = static_cast<std::uint8_t>(LaneBytes(type));
    return operand;
  }
  const Slot* const found = given.kind == Kind::kName ? FindRegister(given.name) : nullptr;
  if (found == nullptr) throw Refuse("a declared register belongs in the place of its destination");
  CheckSize(*found, type, wider, given);
  operand.written = true;
  operand.slot = found->slot;
  operand.lane_bytes = static_cast<std::uint8_t>(LaneBytes(found->type));
  return operand;
}

std::pair<Operand, ScalarType> Decoder::Register(const ptx::Operand& given) {
  const Slot* const found = given.kind == Kind::kName ? FindRegister(given.name) : nullptr;
  if (found == nullptr) throw Refuse("a declared register belongs in the place of an operand");
  Operand operand;
  operand.slot = found->slot;
  operand.lane_bytes = static_cast<std::uint8_t>(LaneBytes(found->type));
  return {operand, found->type};
}

Operand Decoder::Address(const ptx::Operand& given) {
  if (given.kind != Kind::kAddress) throw Refuse("an address in brackets belongs in the place of an operand");
  if (given.name.empty()) return Constant(given.bits + static_cast<std::uint64_t>(given.offset), 0, 8);
  if (const Slot* const found = FindRegister(given.name)) {
    const int bytes = LaneBytes(found->type);
    if (bytes != 4 && bytes != 8) throw Refuse(fmt::format("{} holds no address", given.name));
    Operand operand;
    operand.slot = found->slot;
    operand.lane_bytes = static_cast<std::uint8_t>(bytes);
    operand.offset = given.offset;
    return operand;
  }
  const Symbol* const symbol = FindSymbol(given.name);
  if (symbol == nullptr) throw Refuse(fmt::format("{} is not declared", given.name));
  if (symbol->kind == Symbol::Kind::kParameter || symbol->kind == Symbol::Kind::kKernelParameter ||
      symbol->kind == Symbol::Kind::kFunction)
    throw Refuse(fmt::format("{} is no memory that can be addressed here", given.name));
  Operand operand = Constant(symbol->value + static_cast<std::uint64_t>(given.offset), 0, 8);
  operand.in_frame = symbol->kind == Symbol::Kind::kLocal;
  return operand;
}

std::uint64_t Decoder::Immediate(const ptx::Operand& given) {
  if (given.kind != Kind::kInteger) throw Refuse("an integer constant belongs in the place of an operand");
  return given.bits;
}

Operand Decoder::Carry() {
  if (!carry_) {
    Operand operand;
    operand.lane_bytes = 0;
    operand.slot = Allocate(4);
    carry_ = operand;
  }
  return *carry_;
}

/// Behind the last instruction lanes leave, as they do where the text ends with ret.
void Decoder::Finish() {
  ptx::Instruction end;
  end.mnemonic = "ret";
  end.text = "(end of the function)";
  end.at = function_.at;
  DecodeOne(end);
  FlagUsersOfProducts(out_);
  out_.frame_bytes = frame_bytes_;
  source_ = nullptr;
}

}  // namespace gemmsmith::emulator
