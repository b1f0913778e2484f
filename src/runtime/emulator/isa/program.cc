#include "runtime/emulator/isa/program.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "util/log.h"

namespace gemmsmith::emulator {
namespace {

constexpr std::uint64_t kMaxVariables = std::uint64_t{4} << 30;  // Bytes, of all together.
constexpr std::uint32_t kMaxShared = 4 << 20;                    // What no device has.
constexpr std::size_t kAlignment = 256;

std::uint32_t Padded(std::uint32_t bytes, std::uint32_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

Dim3 ToDim3(const std::array<std::uint32_t, 3>& d) { return {d[0], d[1], d[2]}; }

/// The value of an initialiser, as many bytes as an element has.
std::uint64_t ValueOf(const ptx::Initialiser& value, ptx::ScalarType type) {
  using Token = ptx::TokenKind;
  if (type == ptx::ScalarType::kF64 && value.kind == Token::kFloat32)
    return std::bit_cast<std::uint64_t>(
        static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(value.bits))));
  if (type == ptx::ScalarType::kF32 && value.kind == Token::kFloat64)
    return std::bit_cast<std::uint32_t>(static_cast<float>(std::bit_cast<double>(value.bits)));
  return value.bits;
}

}  // namespace

Program::Program(std::string_view text, const CodeTarget& device) {
  const ptx::Module module = ptx::Parse(text);
  CheckTarget(module, device);
  for (std::size_t i = 0; i < module.functions.size(); ++i) {
    // A prototype and its definition are one function.
    const std::string& name = module.functions[i].name;
    if (symbols_.try_emplace(name, Symbol{Symbol::Kind::kFunction, kFunctionWindow | functions_.size(), 0}).second) {
      functions_.push_back(std::make_unique<Function>());
      functions_.back()->name = name;
    }
  }
  Place(module);
  AddFunctions(module);
}

void Program::CheckTarget(const ptx::Module& module, const CodeTarget& device) const {
  if (module.address_size != 64)
    throw Fail(Code::kUnsupported, "", "ptx: addresses of {} bits; the emulator's have 64", module.address_size);
  const CodeTarget target = ParseTarget(module.target);
  const bool same = target.version == device.version && target.suffix == device.suffix;
  const bool older = target.suffix == 0 && target.version <= device.version;
  const bool family =
      target.suffix == 'f' && target.version / 10 == device.version / 10 && target.version <= device.version;
  if (target.isa != Isa::kCuda || (!same && !older && !family))
    throw Fail(Code::kUnsupported, "compile it for a target of the device", "ptx: code for {} does not run on {}",
               module.target, ToString(device));
}

void Program::Place(const ptx::Module& module) {
  for (const ptx::Variable& variable : module.variables) PlaceVariable(variable, variable.name);
  for (const ptx::Function& function : module.functions)
    for (const ptx::Variable& variable : function.variables)
      PlaceVariable(variable, fmt::format("{}/{}/{}", function.name, variable.scope, variable.name));
  PlaceExternShared(module);
  for (const ptx::Variable& variable : module.variables) Initialise(variable);
}

void Program::PlaceVariable(const ptx::Variable& variable, const std::string& name) {
  if (symbols_.contains(name))
    throw Fail(Code::kInvalidArgument, "", "ptx:{}: {} is declared twice", variable.at.line, variable.name);
  if (variable.space == ptx::StateSpace::kShared) {
    if (variable.external || variable.bytes == 0) return;
    static_shared_ = Padded(static_shared_, variable.alignment);
    symbols_[name] = {Symbol::Kind::kShared, kSharedBegin + static_shared_, variable.bytes};
    shared_variables_.push_back(
        {variable.name, kSharedBegin + static_shared_, static_cast<std::uint32_t>(variable.bytes)});
    if (variable.bytes > kMaxShared - std::min(static_shared_, kMaxShared))
      throw Fail(Code::kUnsupported, "", "ptx:{}: more than {} bytes of shared memory", variable.at.line, kMaxShared);
    static_shared_ += static_cast<std::uint32_t>(variable.bytes);
  } else if (variable.space == ptx::StateSpace::kGlobal || variable.space == ptx::StateSpace::kConst) {
    std::uint64_t total = variable.bytes;
    for (const Region& region : regions_) total += region.end - region.begin;
    if (total > kMaxVariables)
      throw Fail(Code::kUnsupported, "", "ptx:{}: more than {} bytes of variables", variable.at.line, kMaxVariables);
    const std::size_t alignment = std::max<std::size_t>(kAlignment, variable.alignment);
    storage_.push_back(std::make_unique<std::byte[]>(variable.bytes + alignment));
    auto address = reinterpret_cast<std::uint64_t>(storage_.back().get());
    address = (address + alignment - 1) / alignment * alignment;
    symbols_[name] = {Symbol::Kind::kMemory, address, variable.bytes};
    regions_.push_back({address, address + variable.bytes, variable.space == ptx::StateSpace::kGlobal});
  }
}

/// All unsized arrays begin at one place, behind what has a size.
void Program::PlaceExternShared(const ptx::Module& module) {
  std::uint32_t alignment = 16;
  std::vector<std::string> names;
  const auto collect = [&](const ptx::Variable& variable, std::string name) {
    if (variable.space != ptx::StateSpace::kShared || (!variable.external && variable.bytes != 0)) return;
    alignment = std::max(alignment, variable.alignment);
    names.push_back(std::move(name));
  };
  for (const ptx::Variable& variable : module.variables) collect(variable, variable.name);
  for (const ptx::Function& function : module.functions)
    for (const ptx::Variable& variable : function.variables)
      collect(variable, fmt::format("{}/{}/{}", function.name, variable.scope, variable.name));
  if (!names.empty()) static_shared_ = Padded(static_shared_, std::min(alignment, 1024u));
  for (const std::string& name : names) {
    symbols_[name] = {Symbol::Kind::kShared, kSharedBegin + static_shared_, 0};
    shared_variables_.push_back({name.substr(name.rfind('/') + 1), kSharedBegin + static_shared_, 0});
  }
}

void Program::Initialise(const ptx::Variable& variable) {
  if (variable.initialisers.empty()) return;
  const auto placed = symbols_.find(variable.name);
  if (placed == symbols_.end() || placed->second.kind != Symbol::Kind::kMemory)
    throw Fail(Code::kInvalidArgument, "", "ptx:{}: {} cannot have an initialiser", variable.at.line, variable.name);
  auto* to = reinterpret_cast<std::byte*>(placed->second.value);
  const auto element = static_cast<std::size_t>(std::max(1, ptx::Bits(variable.type) / 8));
  for (const ptx::Initialiser& value : variable.initialisers) {
    std::uint64_t bits = ValueOf(value, variable.type);
    if (!value.symbol.empty()) {
      const auto found = symbols_.find(value.symbol);
      if (found == symbols_.end())
        throw Fail(Code::kInvalidArgument, "", "ptx:{}: {} is not declared", variable.at.line, value.symbol);
      bits += found->second.value + (found->second.kind == Symbol::Kind::kShared && value.generic ? kSharedWindow : 0);
      if (value.mask_shift >= 0) bits >>= value.mask_shift;
    }
    std::memcpy(to, &bits, std::min(element, sizeof(bits)));
    to += element;
  }
}

void Program::AddFunctions(const ptx::Module& module) {
  const CodeTarget target = ParseTarget(module.target);
  for (const ptx::Function& source : module.functions) {
    Function& function = *functions_[symbols_.at(source.name).value & 0xffffffff];
    if (!source.defined) continue;
    if (function.defined)
      throw Fail(Code::kInvalidArgument, "", "ptx:{}: {} is defined twice", source.at.line, source.name);
    function.defined = true;
    Decoder(module, source, symbols_, functions_, target.version, function).Run();
    if (source.entry) AddKernel(source, function);
  }
}

void Program::AddKernel(const ptx::Function& source, const Function& function) {
  KernelInfo info;
  info.function = &function;
  for (const ParameterSlot& slot : function.parameters)
    info.parameter_bytes = std::max(info.parameter_bytes, slot.slot + slot.bytes);
  info.max_threads = ToDim3(source.max_threads);
  info.required_threads = ToDim3(source.required_threads);
  info.required_cluster = ToDim3(source.required_cluster);
  info.max_registers = source.max_registers;
  info.max_cluster_rank = source.max_cluster_rank;
  info.explicit_cluster = source.explicit_cluster;
  kernels_[source.name] = info;
}

const KernelInfo& Program::Kernel(const std::string& name) const {
  const auto found = kernels_.find(name);
  if (found != kernels_.end()) return found->second;
  std::string names;
  for (const auto& [other, info] : kernels_) names += (names.empty() ? "" : ", ") + other;
  throw Fail(Code::kNotFound, "", "ptx: there is no kernel {} among: {}", name, names);
}

}  // namespace gemmsmith::emulator
