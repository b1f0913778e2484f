#include <algorithm>

#include "runtime/emulator/ptx/instruction_parser.h"
#include "runtime/emulator/ptx/variable_parser.h"

namespace gemmsmith::emulator::ptx {
namespace {

constexpr int kMaxScopes = 1 << 16;
constexpr int kMaxScopeDepth = 64;
constexpr std::uint64_t kMaxFiles = 1 << 16;

class Parser {
 public:
  explicit Parser(std::string_view text) : tokens_(text) {}

  Module Run() {
    if (!tokens_.Accept(".version")) tokens_.Fail(".version");
    ParseVersion();
    while (tokens_.Peek().kind != TokenKind::kEnd) ParseTopLevel();
    return std::move(module_);
  }

 private:
  void ParseVersion() {
    // 9.0 has been read as one decimal number.
    const Token& token = tokens_.Peek();
    if (token.kind != TokenKind::kFloat64 || token.text.size() < 3 || token.text.size() > 5)
      tokens_.Fail("a version such as 9.0");
    for (const char c : token.text)
      if (c >= '0' && c <= '9') module_.version = module_.version * 10 + (c - '0');
    tokens_.Take();
  }

  void ParseTopLevel() {
    const Token& token = tokens_.Peek();
    if (tokens_.Accept(".target")) {
      module_.target = tokens_.ExpectName("a target");
      while (tokens_.Accept(',')) tokens_.ExpectName("a target option");
    } else if (tokens_.Accept(".address_size")) {
      module_.address_size = static_cast<int>(tokens_.ExpectInteger("32 or 64", 64));
    } else if (token.Is(".file")) {
      ParseFile();
    } else if (token.Is(".loc")) {
      ParseLocation();
    } else if (tokens_.Accept(".section")) {
      SkipSection();
    } else if (tokens_.Accept(".pragma")) {
      SkipStatement();
    } else if (tokens_.Accept(".alias")) {
      tokens_.Fail("no alias: aliases are not supported");
    } else if (!tokens_.Accept(';')) {
      ParseDeclaration();
    }
  }

  void ParseFile() {
    tokens_.Take();
    const std::uint64_t number = tokens_.ExpectInteger("a file's number", kMaxFiles);
    if (tokens_.Peek().kind != TokenKind::kString) tokens_.Fail("a file's name");
    if (module_.files.size() <= number) module_.files.resize(number + 1);
    module_.files[number] = tokens_.Take().text;
    while (tokens_.Accept(',')) tokens_.ExpectInteger("a number", ~std::uint64_t{0});  // Its time and size.
  }

  /// .loc 1 12 3 [, function_name label[+offset], inlined_at 1 16 3]
  void ParseLocation() {
    tokens_.Take();
    source_.file = static_cast<int>(tokens_.ExpectInteger("a file's number", kMaxFiles));
    source_.line = static_cast<int>(tokens_.ExpectInteger("a line", 1 << 30));
    tokens_.ExpectInteger("a column", 1 << 30);
    while (tokens_.Accept(',')) {
      if (tokens_.Accept("function_name")) {
        tokens_.ExpectName("a label");
        if (tokens_.Accept('+')) tokens_.ExpectInteger("an offset", ~std::uint64_t{0});
      } else if (tokens_.Accept("inlined_at")) {
        for (int i = 0; i < 3; ++i) tokens_.ExpectInteger("file, line and column", 1 << 30);
      } else {
        tokens_.Fail("function_name or inlined_at");
      }
    }
  }

  void SkipSection() {
    tokens_.Take();
    tokens_.Expect('{');
    while (!tokens_.Accept('}')) {
      if (tokens_.Peek().kind == TokenKind::kEnd) tokens_.Fail("'}'");
      tokens_.Take();
    }
  }

  void SkipStatement() {
    while (!tokens_.Accept(';')) {
      if (tokens_.Peek().kind == TokenKind::kEnd) tokens_.Fail("';'");
      tokens_.Take();
    }
  }

  void ParseDeclaration() {
    const Position at = tokens_.Peek().at;
    bool external = false;
    for (;;) {
      if (tokens_.Accept(".extern"))
        external = true;
      else if (!tokens_.Accept(".visible") && !tokens_.Accept(".weak") && !tokens_.Accept(".common"))
        break;
    }
    if (tokens_.Peek().Is(".entry") || tokens_.Peek().Is(".func")) return ParseFunction(at);
    const auto space = AcceptSpace(tokens_);
    if (!space || *space == StateSpace::kRegister || *space == StateSpace::kParam)
      tokens_.Fail("a directive, a variable or a function");
    do module_.variables.push_back(ParseVariable(tokens_, *space, external));
    while (tokens_.Accept(','));
    tokens_.Expect(';');
  }

  void ParseFunction(Position at) {
    function_ = Function();
    function_.at = at;
    function_.entry = tokens_.Take().Is(".entry");
    function_.scope_parents.push_back(-1);
    AcceptNoreturn();
    if (!function_.entry && tokens_.Accept('(')) ParseParameters(function_.returns);
    function_.name = tokens_.ExpectName("the function's name");
    if (tokens_.Accept('(')) ParseParameters(function_.parameters);
    ParsePerformance();
    if (tokens_.Peek().Is('{')) {
      function_.defined = true;
      tokens_.Take();
      ParseBody();
    } else {
      tokens_.Expect(';');
    }
    module_.functions.push_back(std::move(function_));
  }

  /// May stand before the name and behind the parameters.
  bool AcceptNoreturn() { return tokens_.Accept(".noreturn") || tokens_.Accept(".unique"); }

  void ParseParameters(std::vector<Variable>& parameters) {
    if (tokens_.Accept(')')) return;
    do {
      const auto space = AcceptSpace(tokens_);
      if (!space || (*space != StateSpace::kParam && *space != StateSpace::kRegister)) tokens_.Fail(".param or .reg");
      parameters.push_back(ParseVariable(tokens_, *space, false));
      if (parameters.size() > 4096) tokens_.Fail("fewer parameters");
    } while (tokens_.Accept(','));
    tokens_.Expect(')');
  }

  std::array<std::uint32_t, 3> ParseTriple() {
    std::array<std::uint32_t, 3> values = {0, 1, 1};
    for (std::size_t i = 0; i < 3 && (i == 0 || tokens_.Accept(',')); ++i)
      values[i] = static_cast<std::uint32_t>(tokens_.ExpectInteger("a positive number", 0x7fffffff));
    return values;
  }
  std::uint32_t ParseCount() { return ParseTriple()[0]; }

  void ParsePerformance() {
    for (;;) {
      if (tokens_.Accept(".maxntid"))
        function_.max_threads = ParseTriple();
      else if (tokens_.Accept(".reqntid"))
        function_.required_threads = ParseTriple();
      else if (tokens_.Accept(".reqnctapercluster"))
        function_.required_cluster = ParseTriple();
      else if (tokens_.Accept(".minnctapersm"))
        function_.min_ctas = ParseCount();
      else if (tokens_.Accept(".maxnctapersm"))
        ParseCount();
      else if (tokens_.Accept(".maxnreg"))
        function_.max_registers = ParseCount();
      else if (tokens_.Accept(".maxclusterrank"))
        function_.max_cluster_rank = ParseCount();
      else if (tokens_.Accept(".explicitcluster"))
        function_.explicit_cluster = true;
      else if (tokens_.Accept(".pragma") || tokens_.Accept(".abi_preserve") || tokens_.Accept(".abi_preserve_control"))
        SkipStatement();
      else if (!AcceptNoreturn() && !tokens_.Accept(".blocksareclusters"))
        return;
    }
  }

  void ParseBody() {
    std::vector<int> open = {0};
    while (!open.empty()) {
      scope_ = open.back();
      if (tokens_.Accept('{')) {
        if (open.size() >= kMaxScopeDepth || function_.scope_parents.size() >= kMaxScopes)
          tokens_.Fail("fewer nested scopes");
        open.push_back(static_cast<int>(function_.scope_parents.size()));
        function_.scope_parents.push_back(scope_);
      } else if (tokens_.Accept('}')) {
        open.pop_back();
      } else {
        ParseStatement();
      }
    }
  }

  void ParseStatement() {
    const Token& token = tokens_.Peek();
    if (token.kind == TokenKind::kName && tokens_.Peek(1).Is(':')) return ParseLabel();
    if (token.Is('@') || token.kind == TokenKind::kName) {
      Instruction instruction = ParseInstruction(tokens_);
      instruction.scope = scope_;
      instruction.source = source_;
      function_.instructions.push_back(std::move(instruction));
    } else if (token.Is(".loc")) {
      ParseLocation();
    } else if (token.Is(".file")) {
      ParseFile();
    } else if (tokens_.Accept(".pragma")) {
      SkipStatement();
    } else if (tokens_.Accept(".reg")) {
      ParseRegisters();
    } else if (!tokens_.Accept(';')) {
      ParseLocalDeclaration();
    }
  }

  void ParseLocalDeclaration() {
    const bool external = tokens_.Accept(".extern");
    const auto space = AcceptSpace(tokens_);
    if (!space) tokens_.Fail("an instruction, a declaration or '}'");
    do {
      Variable variable = ParseVariable(tokens_, *space, external);
      variable.scope = scope_;
      function_.variables.push_back(std::move(variable));
    } while (tokens_.Accept(','));
    tokens_.Expect(';');
  }

  void ParseLabel() {
    std::string name(tokens_.Take().text);
    tokens_.Take();
    if (tokens_.Accept(".callprototype")) return SkipStatement();
    if (tokens_.Peek().Is(".branchtargets") || tokens_.Peek().Is(".calltargets")) {
      tokens_.Take();
      TargetList list{std::move(name), {}, scope_};
      do list.targets.push_back(tokens_.ExpectName("a target"));
      while (tokens_.Accept(','));
      tokens_.Expect(';');
      function_.target_lists.push_back(std::move(list));
      return;
    }
    function_.labels.push_back({std::move(name), static_cast<std::uint32_t>(function_.instructions.size()), scope_});
  }

  /// .reg .b32 %r<10>, %x;
  void ParseRegisters() {
    if (tokens_.Peek().Is(".v2") || tokens_.Peek().Is(".v4")) tokens_.Fail("a scalar type: registers are no vectors");
    const ScalarType type = ParseType(tokens_);
    do {
      RegisterRange range;
      range.type = type;
      range.scope = scope_;
      range.at = tokens_.Peek().at;
      range.name = tokens_.ExpectName("a register's name");
      if (tokens_.Accept('<')) {
        range.count = static_cast<std::uint32_t>(tokens_.ExpectInteger("a number of registers", 1 << 24));
        if (range.count == 0) tokens_.Fail("at least one register");
        tokens_.Expect('>');
      }
      function_.registers.push_back(std::move(range));
    } while (tokens_.Accept(','));
    tokens_.Expect(';');
  }

  TokenReader tokens_;
  Module module_;
  Function function_;
  int scope_ = 0;
  SourceLine source_;
};

}  // namespace

Module Parse(std::string_view text) {
  // Drivers take text with a zero at its end.
  while (!text.empty() && text.back() == '\0') text.remove_suffix(1);
  return Parser(text).Run();
}

}  // namespace gemmsmith::emulator::ptx
