#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/emulator/ptx/token.h"

// A PTX module as it is written. What names mean, and which instructions there are, is no business of this tree.
namespace gemmsmith::emulator::ptx {

enum class ScalarType : std::uint8_t {
  kNone,
  kB8,
  kB16,
  kB32,
  kB64,
  kB128,
  kU8,
  kU16,
  kU32,
  kU64,
  kS8,
  kS16,
  kS32,
  kS64,
  kF16,
  kF16x2,
  kBf16,
  kBf16x2,
  kTf32,
  kF32,
  kF64,
  kE4m3,
  kE5m2,
  kE4m3x2,
  kE5m2x2,
  kPred,
};
/// "f32" -> kF32; nothing for a word that is no type. Without the dot.
std::optional<ScalarType> ParseScalarType(std::string_view word);
std::string_view ToString(ScalarType type);
/// Bits that a value takes in memory; 1 for kPred, 0 for kNone.
int Bits(ScalarType type);
bool IsSigned(ScalarType type);
bool IsFloat(ScalarType type);

enum class StateSpace : std::uint8_t { kGeneric, kRegister, kGlobal, kShared, kLocal, kConst, kParam };

struct Operand {
  enum class Kind : std::uint8_t {
    kName,     ///< A register, symbol, label or special register; `name` has its dots: %tid.x
    kInteger,  ///< `bits`
    kFloat32,  ///< `bits`
    kFloat64,  ///< `bits`
    kVector,   ///< {a, b}: `parts`
    kAddress,  ///< [name + offset] or [bits], and in `parts` what follows commas: [map, {x, y}]
    kPair,     ///< a|b: `parts`
    kList,     ///< (a, b): `parts`; of calls
    kSink,     ///< _
  };
  Kind kind = Kind::kName;
  bool negated = false;  ///< !p
  std::string name;
  std::uint64_t bits = 0;
  std::int64_t offset = 0;  ///< name+4, name-4
  std::vector<Operand> parts;
  Position at;
};

struct SourceLine {
  int file = 0, line = 0;  ///< 0: unknown.
};

struct Instruction {
  std::string guard;  ///< Of @p; empty: none.
  bool guard_negated = false;
  std::string mnemonic;                ///< "add"
  std::vector<std::string> modifiers;  ///< "rn", "f32": without dots.
  std::vector<Operand> operands;
  std::string text;  ///< As written, blanks folded.
  Position at;
  SourceLine source;
  int scope = 0;
};

/// One value of an initialiser.
struct Initialiser {
  std::uint64_t bits = 0;
  TokenKind kind = TokenKind::kInteger;
  std::string symbol;    ///< Its address, plus `bits`.
  bool generic = false;  ///< generic(symbol)
  int mask_shift = -1;   ///< mask(0xff00, symbol): which bits of the address; -1: all.
};

struct Variable {
  StateSpace space = StateSpace::kGlobal;
  ScalarType type = ScalarType::kNone;
  std::string name;
  std::uint32_t alignment = 1;  ///< Bytes.
  std::uint64_t bytes = 0;      ///< 0: unsized (extern shared).
  bool external = false;
  std::vector<Initialiser> initialisers;
  int scope = 0;
  Position at;
};

/// .reg .b32 %r<10>: %r0 ... %r9; count 0: the name itself.
struct RegisterRange {
  ScalarType type = ScalarType::kNone;
  std::string name;
  std::uint32_t count = 0;
  int scope = 0;
  Position at;
};

struct Label {
  std::string name;
  std::uint32_t instruction = 0;  ///< Index of the one that follows.
  int scope = 0;
};

/// name: .branchtargets a, b;   name: .calltargets f, g;   name: .callprototype (...) _ (...);
struct TargetList {
  std::string name;
  std::vector<std::string> targets;
  int scope = 0;
};

struct Function {
  std::string name;
  bool entry = false;
  bool defined = false;                       ///< It has a body.
  std::vector<Variable> parameters, returns;  ///< Of space kParam or kRegister.
  std::vector<RegisterRange> registers;
  std::vector<Variable> variables;
  std::vector<Label> labels;
  std::vector<TargetList> target_lists;
  std::vector<Instruction> instructions;
  std::vector<int> scope_parents;  ///< Of scope i; -1 for the outermost, 0.
  std::array<std::uint32_t, 3> max_threads{}, required_threads{}, required_cluster{};  ///< 0: not given.
  std::uint32_t max_registers = 0, max_cluster_rank = 0, min_ctas = 0;
  bool explicit_cluster = false;
  Position at;
};

struct Module {
  int version = 0;  ///< 90 for 9.0.
  std::string target;
  int address_size = 64;
  std::vector<Variable> variables;
  std::vector<Function> functions;
  std::vector<std::string> files;  ///< By number of .file; 0 is empty.
};

/// Reads PTX. Throws kInvalidArgument: line, column, what was expected. Takes any bytes.
Module Parse(std::string_view text);

}  // namespace gemmsmith::emulator::ptx
