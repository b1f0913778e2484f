#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "runtime/emulator/ptx/ast.h"
#include "util/log.h"

namespace gemmsmith::emulator::ptx {
namespace {

using testing::HasSubstr;

constexpr std::string_view kHeader = ".version 9.0\n.target sm_90a\n.address_size 64\n";

Module ParseBody(const std::string& body) {
  return Parse(std::string(kHeader) + ".visible .entry k(.param .u64 p)\n{\n" + body + "\n}\n");
}
Instruction First(const std::string& text) { return ParseBody(text).functions.at(0).instructions.at(0); }

TEST(PtxParser, ReadsTheHeaderAndDirectivesOfKernels) {
  const Module module = Parse(
      "// comment\n.version 9.0\n.target sm_90a, debug /* more */\n.address_size 64\n"
      ".weak .entry k(.param .u64 .ptr .global .align 16 a, .param .align 64 .b8 map[128])\n"
      ".maxntid 128, 2\n.minnctapersm 2\n.reqnctapercluster 2, 1, 1\n.maxnreg 168\n.explicitcluster\n{ ret; }\n"
      ".extern .func (.param .b32 r) vprintf (.param .b64 f, .param .b64 v);\n");
  EXPECT_EQ(module.version, 90);
  EXPECT_EQ(module.target, "sm_90a");
  ASSERT_EQ(module.functions.size(), 2u);
  const Function& k = module.functions[0];
  EXPECT_TRUE(k.entry && k.defined);
  EXPECT_EQ(k.max_threads, (std::array<std::uint32_t, 3>{128, 2, 1}));
  EXPECT_EQ(k.required_cluster[0], 2u);
  EXPECT_EQ(k.max_registers, 168u);
  ASSERT_EQ(k.parameters.size(), 2u);
  EXPECT_EQ(k.parameters[1].bytes, 128u);
  EXPECT_EQ(k.parameters[1].alignment, 64u);
  EXPECT_FALSE(module.functions[1].defined);
  EXPECT_EQ(module.functions[1].returns.size(), 1u);
}

TEST(PtxParser, ReadsOperandsOfEveryKind) {
  const Instruction i = First(
      "@!%p1 foo.bar::baz.b32 {%f1, %f2}, _, %r1|%p2, !%p3, [%rd1+16], [%rd1+-16], [64], "
      "[map, {%r1, %r2}], %tid.x, sym+4, (a, b);");
  EXPECT_EQ(i.guard, "%p1");
  EXPECT_TRUE(i.guard_negated);
  EXPECT_EQ(i.modifiers, (std::vector<std::string>{"bar::baz", "b32"}));
  using Kind = Operand::Kind;
  const Kind kinds[] = {Kind::kVector,  Kind::kSink,    Kind::kPair, Kind::kName, Kind::kAddress, Kind::kAddress,
                        Kind::kAddress, Kind::kAddress, Kind::kName, Kind::kName, Kind::kList};
  ASSERT_EQ(i.operands.size(), std::size(kinds));
  for (std::size_t k = 0; k < std::size(kinds); ++k) EXPECT_EQ(i.operands[k].kind, kinds[k]) << k;
  EXPECT_TRUE(i.operands[3].negated);
  EXPECT_EQ(i.operands[4].offset, 16);
  EXPECT_EQ(i.operands[5].offset, -16);
  EXPECT_EQ(i.operands[6].bits, 64u);
  EXPECT_EQ(i.operands[7].parts.at(0).parts.size(), 2u);
  EXPECT_EQ(i.operands[8].name, "%tid.x");
  EXPECT_EQ(i.operands[9].offset, 4);
}

TEST(PtxParser, ReadsNumbersOfEveryBase) {
  struct {
    const char* text;
    std::uint64_t bits;
  } kNumbers[] = {{"12", 12},
                  {"0x1F", 31},
                  {"017", 15},
                  {"0b101", 5},
                  {"7U", 7},
                  {"-1", ~std::uint64_t{0}},
                  {"0f3f800000", 0x3f800000},
                  {"0F3F800000", 0x3f800000},
                  {"0d3ff0000000000000", 0x3ff0000000000000},
                  {"1.5", 0x3ff8000000000000},
                  {"2e0", 0x4000000000000000},
                  {"WARP_SZ", 32},
                  {"18446744073709551615", ~std::uint64_t{0}},
                  {"~0", ~std::uint64_t{0}}};
  for (const auto& number : kNumbers)
    EXPECT_EQ(First(fmt::format("mov.b64 %rd1, {};", number.text)).operands.at(1).bits, number.bits) << number.text;
}

TEST(PtxParser, KeepsScopesLabelsAndSourceLines) {
  const Module module = ParseBody(
      ".reg .b32 %r<5>;\n.loc 1 12 3\nmov.b32 %r1, 0;\n{ .reg .pred p, q<2>; L1: .loc 2 7 1, function_name $L0, "
      "inlined_at 1 12 3\n@p bra L1; }\nT: .branchtargets L1, L2;\nL2: ret;");
  const Function& k = module.functions.at(0);
  EXPECT_EQ(k.scope_parents, (std::vector<int>{-1, 0}));
  ASSERT_EQ(k.labels.size(), 2u);
  EXPECT_EQ(k.labels[0].scope, 1);
  EXPECT_EQ(k.labels[0].instruction, 1u);
  EXPECT_EQ(k.target_lists.at(0).targets.size(), 2u);
  EXPECT_EQ(k.registers.at(0).count, 5u);
  EXPECT_EQ(k.instructions[0].source.line, 12);
  EXPECT_EQ(k.instructions[1].source.line, 7);
  EXPECT_EQ(k.instructions[1].source.file, 2);
  EXPECT_EQ(k.instructions[1].text, "@p bra L1;");
}

TEST(PtxParser, ReadsVariablesAndSkipsDebugSections) {
  const Module module = Parse(std::string(kHeader) +
                              ".global .align 4 .f32 t[3] = {1.0, 0f40000000, -3.0};\n"
                              ".global .u64 p[2] = {generic(t)+4, t};\n.const .b8 c[] = {1, 2};\n"
                              ".global .align 8 .b8 m[8] = {0xff, mask(0xff00, t), 0};\n"
                              ".shared .align 16 .b8 s[4][8];\n.extern .shared .align 16 .b8 d[];\n"
                              ".global .v4 .f32 v[2];\n.file 1 \"a b.cu\", 12, 34\n"
                              ".section .debug_str { L: .b8 1,2\n .b64 L }\n");
  ASSERT_EQ(module.variables.size(), 7u);
  EXPECT_EQ(module.variables[0].bytes, 12u);
  EXPECT_EQ(module.variables[1].initialisers.at(0).symbol, "t");
  EXPECT_EQ(module.variables[1].initialisers.at(0).bits, 4u);
  EXPECT_EQ(module.variables[2].bytes, 2u);
  EXPECT_EQ(module.variables[3].initialisers.at(1).mask_shift, 8);
  EXPECT_EQ(module.variables[4].bytes, 32u);
  EXPECT_TRUE(module.variables[5].external);
  EXPECT_EQ(module.variables[6].bytes, 32u);
  EXPECT_EQ(module.files.at(1), "a b.cu");
}

TEST(PtxParser, SaysWhereAndWhatWasExpected) {
  struct {
    const char* text;
    const char* message;
  } kCases[] = {
      {"", "ptx:1:1: expected .version, found the end"},
      {".version x", "ptx:1:10: expected a version such as 9.0"},
      {".version 9.0\n.target sm_90\nfoo", "ptx:3:1: expected a directive, a variable or a function, found foo"},
      {".version 9.0\n.entry k() { add.s32 %r1 %r2; }", "ptx:2:26: expected ',' or ';', found %r2"},
      {".version 9.0\n.entry k() { add.s32 %r1, ; }", "ptx:2:27: expected an operand, found ;"},
      {".version 9.0\n.entry k() { ret;", "expected an instruction, a declaration or '}', found the end"},
      {".version 9.0\n.entry k() { ld.b32 %r1, [%r2; }", "expected ']', found ;"},
      {".version 9.0\n.entry k() { mov.b32 %r1, 0f3f8; }", "expected 8 hexadecimal digits"},
      {".version 9.0\n.entry k() { mov.b32 %r1, 0x; }", "expected a digit"},
      {".version 9.0\n.entry k() { mov.b32 %r1, 09; }", "a digit of base 8"},
      {".version 9.0\n.entry k() { mov.b64 %r1, 99999999999999999999; }", "an integer of at most 64 bits"},
      {".version 9.0\n/* never", "the end of the comment"},
      {".version 9.0\n.global .b32 x = ;", "expected a value"},
      {".version 9.0\n.global .b99 x;", "expected a type, found .b99"},
      {".version 9.0\n.global .b32 x[2] = {1, 2, 3};", "no more values than elements"},
      {".version 9.0\n.global .align 3 .b32 x;", "a power of two"},
      {".version 9.0\n.global .b32 x[99999999999];", "an extent"},
      {".version 9.0\n.file 1 \"abc", "the closing quote"},
      {".version 9.0\n.entry k() { .reg .b32 %r<0>; }", "at least one register"},
      {".version 9.0\n.section .debug { ", "expected '}'"},
  };
  for (const auto& test : kCases) {
    try {
      Parse(test.text);
      ADD_FAILURE() << "accepted: " << test.text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr(test.message)) << test.text;
      EXPECT_THAT(error.what(), HasSubstr("ptx:")) << test.text;
    }
  }
}

TEST(PtxParser, BoundsNesting) {
  EXPECT_THROW(ParseBody(std::string(100000, '{')), Error);
  EXPECT_THROW(First("add " + std::string(100000, '{')), Error);
  EXPECT_THROW(Parse(std::string(kHeader) + ".global .b32 x = " + std::string(100000, '{')), Error);
  std::string generic = ".global .b32 x = ";
  for (int k = 0; k < 100000; ++k) generic += "generic(";
  EXPECT_THROW(Parse(std::string(kHeader) + generic), Error);
}

TEST(PtxParser, SurvivesEveryCutAndManyChanges) {
  const std::string text = std::string(kHeader) +
                           ".extern .shared .align 16 .b8 d[];\n.visible .entry k(.param .u64 p) .maxntid 32 {\n"
                           ".reg .b32 %r<3>; .loc 1 2 3\nL: @%p1 ld.v2.u32 {%r1, %r2}, [d+8]; bra L; }\n";
  std::mt19937_64 random(5);
  const auto parse = [](const std::string& changed) {
    try {
      Parse(changed);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("ptx:"));
    }
  };
  for (std::size_t cut = 0; cut < text.size(); ++cut) parse(text.substr(0, cut));
  for (int k = 0; k < 20000; ++k) {
    std::string changed = text;
    for (int n = 0; n < 3; ++n) changed[random() % changed.size()] = static_cast<char>(random());
    parse(changed);
  }
}

}  // namespace
}  // namespace gemmsmith::emulator::ptx
