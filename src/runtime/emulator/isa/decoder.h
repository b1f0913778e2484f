#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gemmsmith/error.h"
#include "runtime/emulator/isa/row.h"
#include "runtime/emulator/machine/code.h"
#include "runtime/emulator/ptx/ast.h"

namespace gemmsmith::emulator {

/// What a name of a module or function stands for, other than a register.
struct Symbol {
  enum class Kind : std::uint8_t {
    kMemory,           ///< `value`: its address in global or constant memory.
    kShared,           ///< `value`: its address in shared memory.
    kLocal,            ///< `value`: bytes from the frame's part of local memory.
    kKernelParameter,  ///< `value`: bytes from the first parameter.
    kParameter,        ///< Of a function or call: `value` is its slot in the frame.
    kFunction,         ///< `value`: its index.
  };
  Kind kind{};
  std::uint64_t value = 0;
  std::uint64_t bytes = 0;
};

/// Names that all functions of a module see.
using ModuleSymbols = std::unordered_map<std::string, Symbol>;

/// Decodes the instructions of one function.
class Decoder {
 public:
  Decoder(const ptx::Module& module, const ptx::Function& source, const ModuleSymbols& symbols,
          const std::vector<std::unique_ptr<Function>>& functions, int sm, Function& out);

  /// Everything; the function is then ready to run.
  void Run();

  // What rows use to decode the instruction at hand.
  const ptx::Instruction& source() const { return *source_; }
  const Form& form() const { return form_; }
  const ptx::Operand& operand(std::size_t i) const { return source_->operands[i]; }
  std::size_t operand_count() const { return source_->operands.size(); }

  /// A register, special register or constant of `bits` (1: a predicate). Where `wider` allows, the register may have
  /// more bits.
  Operand Source(const ptx::Operand& operand, ptx::ScalarType type, bool wider = false);
  Operand Destination(const ptx::Operand& operand, ptx::ScalarType type, bool wider = false);
  /// A register of whatever type, and that type.
  std::pair<Operand, ptx::ScalarType> Register(const ptx::Operand& operand);
  Operand Address(const ptx::Operand& operand);
  Operand Constant(std::uint64_t low, std::uint64_t high, int lane_bytes);
  std::uint64_t Immediate(const ptx::Operand& operand);
  std::uint32_t Target(const std::string& label);
  const Symbol* FindSymbol(const std::string& name) const;
  const std::vector<std::string>* FindTargets(const std::string& name) const;
  /// The function at an address of the function window.
  const Function* FunctionAt(std::uint64_t address) const { return functions_[address & ~kFunctionWindow].get(); }
  bool IsDefined(const std::string& function) const;
  bool IsRegister(const std::string& name) { return FindRegister(name) != nullptr; }
  int sm() const { return sm_; }  ///< Of the module's target: 90.
  const std::string& target() const { return module_.target; }
  bool is_entry() const { return function_.entry; }
  /// The flag between add.cc and addc.
  Operand Carry();
  void Push(const Operand& operand) { pushed_.push_back(operand); }
  template <class T>
  T* Keep(T value) {
    auto shared = std::make_shared<T>(std::move(value));
    out_.extras.push_back(shared);
    return shared.get();
  }

  /// kUnsupported, naming the instruction at hand.
  Error Refuse(std::string_view why) const;

 private:
  struct Slot {
    ptx::ScalarType type{};
    std::uint32_t slot = 0;
  };
  void DeclareNames();
  void DeclareParameters();
  void DecodeOne(const ptx::Instruction& instruction);
  void DecodeOperands(const Row& row, Instruction& out);
  void DecodeOperand(std::string_view spec, const ptx::Operand& operand);
  ptx::ScalarType TypeOf(std::string_view word) const;
  void CheckSize(const Slot& found, ptx::ScalarType type, bool wider, const ptx::Operand& operand) const;
  const Slot* FindRegister(const std::string& name);
  std::uint32_t Allocate(std::uint32_t bytes);
  std::optional<Operand> FindSpecial(const std::string& name);
  void DecodeGuard(const ptx::Instruction& instruction, Instruction& out);
  void Finish();

  const ptx::Module& module_;
  const ptx::Function& function_;
  const ModuleSymbols& symbols_;
  const std::vector<std::unique_ptr<Function>>& functions_;
  int sm_;
  Function& out_;
  const ptx::Instruction* source_ = nullptr;
  Form form_;
  std::vector<Operand> pushed_;
  std::uint32_t frame_bytes_ = 0;
  // By name, then by scope.
  std::map<std::pair<int, std::string>, Slot> registers_;
  std::map<std::pair<int, std::string>, std::pair<ptx::ScalarType, std::uint32_t>> ranges_;
  std::map<std::pair<int, std::string>, Symbol> locals_;
  std::map<std::pair<int, std::string>, std::uint32_t> labels_;
  std::map<std::tuple<std::uint64_t, std::uint64_t, int>, std::uint32_t> constants_;
  std::optional<Operand> carry_;
  bool reads_clock_ = false;
};

}  // namespace gemmsmith::emulator
