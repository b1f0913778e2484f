#pragma once

#include <array>
#include <utility>
#include <vector>

#include "jit/x86/constant_pool.h"
#include "jit/x86/vector_program.h"
#include "jit/x86/vectors.h"

namespace gemmsmith {

/// Where programs read and write, known to who runs them.
class ProgramHost {
 public:
  using Mem = asmjit::x86::Mem;
  using Vec = asmjit::x86::Vec;

  enum class Place {
    kRegister,
    kMemory,  ///< A whole vector.
    kSingle,  ///< One value for all lanes, in memory.
    kElsewhere,
  };
  virtual ~ProgramHost() = default;
  virtual Place Find(int source) const = 0;
  virtual int Register(int source) const = 0;
  /// Of kMemory and kSingle: good for the next instruction.
  virtual Mem Address(int source) = 0;
  /// From elsewhere.
  virtual void Load(int source, const Vec& to) = 0;
  /// May use `scratch`, and must leave `value`.
  virtual void Sink(int sink, const Vec& value, const Vec& scratch) = 0;
};

/// The instructions of one program, written as often as it is to be run. Values live in registers as long as these
/// suffice, then in memory the one that is needed last.
class ProgramWriter {
 public:
  /// Of the registers given to Write, at least so many.
  static constexpr int kFewestRegisters = 4;

  ProgramWriter(const Vectors& vectors, const VectorProgram& program, ConstantPool& pool, ProgramHost& host);

  /// Vectors that may lie in memory at a time, at the address that Write is given.
  int stack_vectors() const { return stack_vectors_; }
  /// Instructions, about.
  int size() const { return size_; }
  /// Loads constants, those that are used most first, into registers that Write is not given: it finds them there.
  void KeepConstants(const std::vector<int>& registers);
  /// `registers` may be used; sources that are in registers lie in some of these.
  void Write(const std::vector<int>& registers, const asmjit::x86::Mem& stack);

 private:
  using Mem = asmjit::x86::Mem;
  using Vec = asmjit::x86::Vec;
  using Operand = asmjit::Operand_;
  static constexpr int kNever = 1 << 30, kNone = -1;

  /// Registers of one kind, and the value in each.
  struct File {
    std::array<int, 32> value{};
    std::uint32_t usable = 0, free = 0;
    std::uint32_t locked = 0;  ///< Needed by the instruction at hand.
  };
  struct Home {
    int reg = kNone;        ///< In the file that the value's kind has.
    int slot = kNone;       ///< On the stack.
    int next_use = kNever;  ///< Place in the program.
  };

  void FindUses();
  void TakeSources();
  void WriteNode(int at);
  void WriteSink(const VectorNode& node);
  void WriteUnary(const VectorNode& node, int at);
  void WriteBinary(const VectorNode& node, int at);
  void WriteFma(const VectorNode& node, int at);
  void WriteCopySign(const VectorNode& node, int at);
  void WriteLookup(const VectorNode& node, int at);
  void WriteHalf(const VectorNode& node, int at);
  void WriteSelect(const VectorNode& node, int at);
  void WriteMaskNot(const VectorNode& node, int at);

  bool IsLastUse(int at, int operand) const { return later_use_[at][operand] == kNever; }
  bool IsConstant(int value) const {
    const VectorOp op = program_.nodes()[value].op;
    return op == VectorOp::kConstant || op == VectorOp::kMaskConstant;
  }
  bool IsKept(int value) const {
    return IsConstant(value) && homes_[value].reg >= 0 && homes_[value].reg == KeptIn(program_.nodes()[value]);
  }
  /// Of constants and tables: the register that has it, or kNone.
  int KeptIn(const VectorNode& node) const;
  int KeptConstant(std::uint32_t bits) const { return KeptIn({VectorOp::kConstant, {-1, -1, -1}, bits}); }
  bool IsMaskRegister(int value) const { return vectors_.avx512 && IsMask(program_.nodes()[value].op); }
  File& FileOf(int value) { return IsMaskRegister(value) ? masks_ : registers_; }
  Operand RegisterOf(int value) const;
  Vec VectorOf(int value) const { return vectors_.Register(homes_[value].reg); }

  int Take(File& file);
  void Evict(File& file, int reg);
  void Put(int value, File& file, int reg);
  /// Into a register, which the instruction at hand then keeps.
  void Need(int value);
  void Fetch(int value, int reg);
  /// Whether an instruction may read the value from memory, for it is in no register.
  bool IsInMemory(int value) const;
  Mem Memory(int value);
  /// Of constants.
  Mem Constant(int value);
  static std::uint32_t BitsOf(const VectorNode& constant);
  void LoadConstant(const Vec& to, std::uint32_t bits);
  Mem Table(std::uint32_t number);
  /// Operands whose last use this is leave their registers.
  void Leave(const VectorNode& node, int at);
  /// A register for the result: that of an operand which has left, if there is one.
  int Result(int at, const VectorNode& node);
  /// A register for the result which holds an operand already.
  int ResultOver(int at, const VectorNode& node, int operand);
  Mem Slot(int slot) const { return stack_.cloneAdjusted(slot * vectors_.vector_bytes); }

  const Vectors vectors_;
  asmjit::x86::Assembler& as_;
  const VectorProgram& program_;
  ConstantPool& pool_;
  ProgramHost& host_;
  std::vector<bool> is_used_;
  std::vector<int> first_use_;
  std::vector<std::array<int, 3>> later_use_;  // of each operand, after this node
  int stack_vectors_ = 0, size_ = 0;
  std::vector<std::pair<VectorNode, int>> kept_;  ///< Constants and tables, and the register of each.

  std::vector<Home> homes_;
  std::vector<bool> slots_;
  File registers_, masks_;
  Mem stack_;
};

}  // namespace gemmsmith
