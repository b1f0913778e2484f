// tcgen05.mma of the emulated device: every kind, both places of A, every layout in shared memory, one CTA and two.
#include <gmock/gmock.h>

#include "../support/tensor_ptx.h"
#include "runtime/emulator/numeric/conversions.h"
#include "runtime/emulator/tensor_memory/swizzle.h"

namespace gemmsmith::emulator {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using Words = std::vector<std::uint32_t>;

struct ProductCase {
  const char *kind, *a, *b, *d;
  int m, n;
  int a_swizzle = 128, b_swizzle = 128;  ///< Bytes; 16: none.
  bool a_mn = false, b_mn = false;       ///< Neighbours lie along m or n.
  int group = 1;
  bool a_in_memory = false;
  bool negate_a = false, negate_b = false;
  int lane = 0;  ///< Where D begins; 16 with m64 alone.

  int depth() const { return std::string_view(kind) == "f16" ? 16 : std::string_view(kind) == "tf32" ? 8 : 32; }
  int rows() const { return m / group; }
};
const ProductCase kCases[] = {
    {"f16", "bf16", "bf16", "f32", 128, 256},
    {"f16", "f16", "bf16", "f32", 128, 8, 64, 32},
    {"f16", "f16", "f16", "f16", 128, 64, 32, 64},
    {"f16", "bf16", "f16", "f32", 64, 40, 16, 16, false, false, 1, false, true, false},
    {"f16", "bf16", "bf16", "f32", 64, 128, 128, 128, true, true, 1, false, false, false, 16},
    {"f16", "bf16", "bf16", "f32", 128, 64, 64, 32, true, true},
    {"f16", "f16", "f16", "f32", 128, 32, 32, 64, true, true},
    {"f16", "f16", "f16", "f32", 128, 24, 16, 16, true, true, 1, false, true, true},
    {"f16", "bf16", "bf16", "f32", 128, 96, 128, 128, false, true, 1, true, false, true},
    {"f16", "f16", "f16", "f32", 64, 16, 128, 64, false, false, 1, true, true, false, 16},
    {"tf32", "tf32", "tf32", "f32", 128, 48, 128, 32},
    {"tf32", "tf32", "tf32", "f32", 64, 16, 64, 16, false, false, 1, true},
    {"f8f6f4", "e4m3", "e5m2", "f32", 128, 128},
    {"f8f6f4", "e5m2", "e4m3", "f16", 64, 64, 64, 128, true, true},
    {"f8f6f4", "e4m3", "e4m3", "f32", 128, 32, 128, 32, false, true, 1, true},
    {"i8", "s8", "u8", "s32", 128, 24},
    {"i8", "u8", "s8", "s32", 64, 48, 32, 16, true, true},
    {"f16", "bf16", "bf16", "f32", 256, 256, 128, 128, false, false, 2},
    {"f16", "f16", "f16", "f32", 256, 64, 64, 128, true, true, 2, false, false, true},
    {"f16", "bf16", "bf16", "f32", 128, 96, 128, 64, false, false, 2},
    {"f8f6f4", "e4m3", "e4m3", "f32", 256, 128, 128, 128, false, false, 2, true},
    {"f16", "bf16", "bf16", "f32", 128, 64, 128, 128, false, false, 2, true},
    {"i8", "s8", "s8", "s32", 128, 64, 128, 128, false, false, 2},
};

int BitsOf(std::string_view type) {
  return type == "f32" || type == "tf32" || type == "s32" ? 32 : type == "f16" || type == "bf16" ? 16 : 8;
}
std::uint32_t Encode(std::string_view type, int value) {
  const auto number = static_cast<float>(value);
  if (type == "f16") return F32ToF16(number);
  if (type == "bf16") return F32ToBf16(number);
  if (type == "e4m3") return F32ToE4m3(number);
  if (type == "e5m2") return F32ToE5m2(number);
  if (type == "f32" || type == "tf32") return F32Bits(number);
  return type == "s32" ? static_cast<std::uint32_t>(value) : static_cast<std::uint32_t>(value) & 0xff;
}

// Of shared memory: the slot of the prologue lies before the tile, whose first half is A.
constexpr std::uint32_t kTile = 2048, kFactorBytes = 32768;
constexpr std::size_t kTileWords = 2 * kFactorBytes / 4, kResultWords = 128 * 256;

/// Small integers by (line of m or n, k).
struct Factor {
  int lines, k;
  std::string_view type;
  int swizzle;
  bool mn;
  std::vector<int> values;

  Factor(int l, int depth, std::string_view t, int bytes, bool along_lines, std::mt19937& random)
      : lines(l), k(depth), type(t), swizzle(bytes), mn(along_lines), values(static_cast<std::size_t>(l * depth)) {
    for (int& v : values) v = static_cast<int>(random() % 8) - (t[0] == 'u' ? 0 : 4);
  }
  int At(int line, int depth) const { return values[static_cast<std::size_t>(line * k + depth)]; }
  // Without a swizzle core matrices of 8 times 16 bytes lie one after the other, first along the rows in memory. With
  // one, rows in memory are as long as it, and every 8 of them are a block.
  int across() const { return (mn ? part() : k) * BitsOf(type) / 128; }
  int near() const { return swizzle == 16 ? 128 : 8 * swizzle * ((k + 7) / 8); }
  int far() const { return swizzle == 16 ? across() * 128 : 8 * swizzle; }
  int part_lines = 0;  ///< Lines in one CTA; 0: all.
  int part() const { return part_lines != 0 ? part_lines : lines; }

  /// The lines from `first` on, in the shared memory of one CTA.
  void Place(std::byte* to, int first) const {
    const int bytes = BitsOf(type) / 8;
    for (int line = 0; line < part(); ++line)
      for (int d = 0; d < k; ++d) {
        const int row = mn ? d : line, column = (mn ? line : d) * bytes;
        int at = row / 8 * far() + column / 16 * near() + row % 8 * 16 + column % 16;
        if (swizzle != 16) {
          at = row / 8 * far() + row % 8 * swizzle + column / swizzle * near() + column % swizzle;
          at ^= (at >> 7 & (swizzle / 16 - 1)) << 4;
        }
        const std::uint32_t bits = Encode(type, At(first + line, d));
        std::memcpy(to + at, &bits, static_cast<std::size_t>(bytes));
      }
  }
  std::uint64_t Descriptor(std::uint32_t start) const {
    const std::uint64_t mode = swizzle == 128 ? 2 : swizzle == 64 ? 4 : swizzle == 32 ? 6 : 0;
    // Along m or n without a swizzle, the two offsets trade places.
    const bool swaps = mn && swizzle == 16;
    const auto leading = static_cast<std::uint64_t>(swaps ? far() : near()) >> 4;
    const auto stride = static_cast<std::uint64_t>(swaps ? near() : far()) >> 4;
    return start >> 4 | leading << 16 | stride << 32 | std::uint64_t{1} << 46 | mode << 61;
  }
};

std::uint32_t InstructionBits(const ProductCase& t) {
  const auto format = [](std::string_view type) -> std::uint32_t {
    return type == "tf32" ? 2 : type == "bf16" || type == "e5m2" || type == "s8" ? 1 : 0;
  };
  const std::string_view d = t.d;
  return (d == "f32"   ? 1u
          : d == "s32" ? 2u
                       : 0u)
             << 4 |
         format(t.a) << 7 | format(t.b) << 10 | static_cast<std::uint32_t>(t.negate_a) << 13 |
         static_cast<std::uint32_t>(t.negate_b) << 14 | static_cast<std::uint32_t>(t.a_mn) << 15 |
         static_cast<std::uint32_t>(t.b_mn) << 16 | static_cast<std::uint32_t>(t.n / 8) << 17 |
         static_cast<std::uint32_t>(t.m / 16) << 24;
}

/// Thread t of a CTA holds rows of D or A in its lane of tensor memory; -1: none.
int RowOf(const ProductCase& t, int rank, int thread) {
  if (t.rows() == 128) return rank * 128 + thread;
  if (t.group == 2) return rank * 64 + thread % 64;
  return thread % 32 / 16 == t.lane / 16 ? thread / 32 * 16 + thread % 16 : -1;
}

/// Fills the tile of the CTA from its part of [out], 64 KiB each.
std::string Fill(int group) {
  return fmt::format(
      ".shared .align 1024 .b8 tile[65536]; .shared .align 8 .b64 bar; .reg .b32 %s, %v, %bar, %rank; .reg .b64 %o, "
      "%g, "
      "%l; .reg .pred %p, %yes, %issues;\n"
      "mov.u32 %rank, %cluster_ctarank; mul.wide.u32 %g, %rank, 65536; add.u64 %g, %g, %out; add.u64 %l, %g, 65536;\n"
      "mov.u32 %s, tile; mad.lo.u32 %s, %t, 4, %s; mul.wide.u32 %o, %t, 4; add.u64 %g, %g, %o;\n"
      "FILL: ld.global.u32 %v, [%g]; st.shared.u32 [%s], %v; add.u64 %g, %g, 512; add.u32 %s, %s, 512; setp.lt.u64 %p, "
      "%g, %l; @%p bra FILL;\n"
      "mov.u32 %bar, bar; @%one mbarrier.init.shared.b64 [%bar], 1; setp.eq.u32 %yes, %t, %t; fence.proxy.async;\n"
      "setp.eq.and.u32 %issues, %rank, 0, %one;\n"
      "mul.wide.u32 %g, %rank, 131072; mul.wide.u32 %o, %t, 1024; add.u64 %g, %g, %o; add.u64 %g, %g, %out; add.u64 "
      "%g, "
      "%g, {};\n",
      group * 65536);
}
std::string Sync(int group) {
  return group == 1 ? "bar.sync 0;\n" : "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;\n";
}
std::string CommitAndWait(int group) {
  const char* const multicast = group == 1 ? ".b64 [%bar];" : ".multicast::cluster.b64 [%bar], 3;";
  return fmt::format("@%issues tcgen05.commit.cta_group::{}.mbarrier::arrive::one.shared::cluster{}\n", group,
                     multicast) +
         "W: mbarrier.try_wait.parity.shared.b64 %p, [%bar], 0; @!%p bra W;\ntcgen05.fence::after_thread_sync;\n";
}
/// Words of D to the thread's result: of its lane, or (m64) 4 registers for each 8 columns.
std::string Results(const ProductCase& t, int columns) {
  const bool half = t.rows() == 64 && t.group == 1;
  std::string body = ".reg .b32 %d<8>;\n";
  for (int c = 0; c < columns; c += 8) {
    const int count = half ? 4 : 8;
    body += fmt::format("tcgen05.ld.sync.aligned.{}.b32 {}, [%q+{}];\ntcgen05.wait::ld.sync.aligned;\n",
                        half ? "16x256b.x1" : "32x32b.x8", RegisterList("%d", count), (t.lane << 16) + c);
    for (int r = 0; r < count; ++r) body += fmt::format("st.global.b32 [%g+{}], %d{};\n", (c + r) * 4, r);
  }
  return body;
}

Words Launch(const std::string& body, const Words& words, int group, const RunOptions& options = {}) {
  PtxRunner runner("sm_100a", options);
  const Buffer buffer = runner.device().Allocate(words.size() * 4);
  std::memcpy(buffer.data(), words.data(), words.size() * 4);
  const void* pointer = buffer.data();
  void* args[] = {&pointer};
  const auto ctas = static_cast<std::uint32_t>(group);
  runner.Load(runner.Text(".param .u64 p", ".reg .b64 %out; ld.param.u64 %out, [p];\n" + body))
      ->Launch({ctas, 1, 1}, {128, 1, 1}, {ctas, 1, 1}, 0, args, {});
  Words out(words.size());
  std::memcpy(out.data(), buffer.data(), words.size() * 4);
  return out;
}

struct ProductRun {
  ProductCase t;
  std::mt19937 random{1};
  Factor a, b;
  Words words;

  explicit ProductRun(const ProductCase& test)
      : t(test),
        a(t.m, t.depth(), t.a, t.a_swizzle, t.a_mn, random),
        b(t.n, t.depth(), t.b, t.b_swizzle, t.b_mn, random),
        words(static_cast<std::size_t>(t.group) * (kTileWords + kResultWords)) {
    a.part_lines = t.rows();
    b.part_lines = t.n / t.group;
    for (int rank = 0; rank < t.group; ++rank) {
      std::uint32_t* const tile = words.data() + static_cast<std::size_t>(rank) * kTileWords;
      if (!t.a_in_memory) a.Place(reinterpret_cast<std::byte*>(tile), rank * t.rows());
      b.Place(reinterpret_cast<std::byte*>(tile) + kFactorBytes, rank * t.n / t.group);
      for (int thread = 0; t.a_in_memory && thread < 128; ++thread)
        for (int e = 0; e < t.depth(); ++e)
          if (const int row = RowOf(t, rank, thread); row >= 0) {
            const int bit = e * BitsOf(t.a);
            tile[thread * 8 + bit / 32] |= Encode(t.a, a.At(row, e)) << bit % 32;
          }
    }
  }
  /// A from the tile's place into the columns behind D.
  std::string LoadA() const {
    std::string body = ".reg .b32 %a<8>; mov.u32 %s, tile; mad.lo.u32 %s, %t, 32, %s;\n";
    for (int r = 0; r < 8; ++r) body += fmt::format("ld.shared.b32 %a{}, [%s+{}];\n", r, r * 4);
    return body + fmt::format("tcgen05.st.sync.aligned.32x32b.x8.b32 [%q+256], {};\n", RegisterList("%a", 8)) +
           "tcgen05.wait::st.sync.aligned; tcgen05.fence::before_thread_sync;\n";
  }
  std::string Multiply(const std::string& enable, const std::string& mask = "", const std::string& scale = "") const {
    const std::string operand =
        t.a_in_memory ? fmt::format("[%tm+{}]", (t.lane << 16) + 256) : fmt::format("{:#x}", a.Descriptor(kTile));
    return fmt::format("@%issues tcgen05.mma.cta_group::{}.kind::{} [%tm+{}], {}, {:#x}, {:#x}{}, {}{};\n", t.group,
                       t.kind, t.lane << 16, operand, b.Descriptor(kTile + kFactorBytes), InstructionBits(t), mask,
                       enable, scale);
  }
  int Product(int row, int column) const {
    int sum = 0;
    for (int k = 0; k < t.depth(); ++k) sum += a.At(row, k) * b.At(column, k);
    return t.negate_a != t.negate_b ? -sum : sum;
  }
  int columns() const { return t.rows() == 64 && t.group == 2 ? t.n / 2 : t.n; }  ///< Of tensor memory.
  /// f(row, column, word) of all of D.
  template <class F>
  void ForEachResult(const Words& out, F f) const {
    const std::size_t results = static_cast<std::size_t>(t.group) * kTileWords;
    const bool half = t.rows() == 64 && t.group == 1;
    for (int rank = 0; rank < t.group; ++rank)
      for (int thread = 0; thread < 128; ++thread)
        for (int c = 0; c < columns(); ++c) {
          if (half && c % 8 >= 4) continue;
          const std::uint32_t word = out[results + static_cast<std::size_t>((rank * 128 + thread) * 256 + c)];
          int row = RowOf(t, rank, thread), column = c;
          if (half) {
            row = thread / 32 * 16 + thread % 32 / 4 + c % 4 / 2 * 8;
            column = c / 8 * 8 + thread % 4 * 2 + c % 2;
          } else if (t.rows() == 64) {
            column += thread / 64 * columns();
          }
          f(row, column, word);
        }
  }
};

TEST(EmulatorTensorProduct, EveryKindPlaceAndLayoutMultiplies) {
  for (const ProductCase& t : kCases) {
    SCOPED_TRACE(fmt::format("{} m{}n{} {} {} swizzles {} {} mn {} {} group {} memory {}", t.kind, t.m, t.n, t.a, t.b,
                             t.a_swizzle, t.b_swizzle, t.a_mn, t.b_mn, t.group, t.a_in_memory));
    const ProductRun run(t);
    // The first product overwrites D; the second adds to it.
    const std::string body =
        TensorPrologue(512, t.group) + Fill(t.group) + "bar.sync 0;\n" + (t.a_in_memory ? run.LoadA() : "") +
        Sync(t.group) + "tcgen05.fence::after_thread_sync;\n" + run.Multiply("!%yes") + run.Multiply("%yes") +
        CommitAndWait(t.group) + Results(t, run.columns()) + Sync(t.group) + TensorEpilogue(512, t.group);
    const Words out = Launch(body, run.words, t.group);
    run.ForEachResult(out, [&](int row, int column, std::uint32_t word) {
      ASSERT_EQ(word, Encode(t.d, 2 * run.Product(row, column))) << row << ", " << column;
    });
  }
}

TEST(EmulatorTensorProduct, MaskedLanesStayAndDIsScaled) {
  const ProductCase t{"f16", "bf16", "bf16", "f32", 128, 16};
  const ProductRun run(t);
  std::string stores =
      ".reg .b32 %i<16>, %mask<4>; .reg .f32 %x;\ncvt.rn.f32.u32 %x, %t; mul.f32 %x, %x, 0f41000000;\n"
      "mov.u32 %mask0, 0xffff0000; mov.u32 %mask1, 0; mov.u32 %mask2, 1; mov.u32 %mask3, 0xffffffff;\n";
  for (int r = 0; r < 16; ++r) stores += fmt::format("mov.b32 %i{}, %x;\n", r);  // 8 times the thread's number
  stores += "tcgen05.st.sync.aligned.32x32b.x16.b32 [%q], " + RegisterList("%i", 16) +
            "; tcgen05.wait::st.sync.aligned; tcgen05.fence::before_thread_sync;\n";
  const Words out = Launch(TensorPrologue(32) + Fill(1) + stores + "bar.sync 0; tcgen05.fence::after_thread_sync;\n" +
                               run.Multiply("%yes", ", " + RegisterList("%mask", 4), ", 3") + CommitAndWait(1) +
                               Results(t, 16) + TensorEpilogue(32),
                           run.words, 1);
  const std::uint32_t masks[] = {0xffff0000, 0, 1, 0xffffffff};
  run.ForEachResult(out, [&](int row, int column, std::uint32_t word) {
    const bool stays = (masks[row / 32] >> row % 32 & 1) != 0;
    ASSERT_EQ(word, Encode("f32", stays ? 8 * row : run.Product(row, column) + row)) << row << ", " << column;
  });
}

TEST(EmulatorTensorProduct, EveryFormThatAssemblersTakeIsLoaded) {
  for (const int group : {1, 2}) {
    std::string body = ".reg .b32 %t, %f<8>; .reg .b64 %x; .reg .b16 %m; .reg .pred %p;\n";
    const std::string mask = RegisterList("%f", 4 * group);
    for (const char* kind : {"f16", "tf32", "f8f6f4", "i8"})
      for (const char* collector :
           {"", ".collector::a::fill", ".collector::a::use", ".collector::a::lastuse", ".collector::a::discard"})
        for (const char* a : {"%x", "[%t+4]"})
          for (const std::string& rest : {std::string("%p"), std::string("!%p"), mask + ", %p"})
            body += fmt::format("tcgen05.mma.cta_group::{}.kind::{}{} [%t], {}, %x, %f0, {};\n", group, kind, collector,
                                a, rest);
    body += fmt::format(
        "tcgen05.mma.cta_group::{0}.kind::f16 [%t], %x, %x, %f0, %p, 15;\n"
        "tcgen05.mma.cta_group::{0}.kind::tf32 [%t], [%t], %x, %f0, {1}, %p, 0;\n",
        group, mask);
    for (const char* shape : {"128x256b", "128x128b", "4x256b", "64x128b.warpx2::02_13", "warpx2::01_23.64x128b",
                              "32x128b.warpx4", "warpx4.32x128b"})
      body += fmt::format("tcgen05.cp.cta_group::{}.{} [%t], %x;\n", group, shape);
    for (const char* rest :
         {".b64 [%x];", ".shared::cluster.b64 [%t];", ".shared::cluster.multicast::cluster.b64 [%t], %m;"})
      body += fmt::format("tcgen05.commit.cta_group::{}.mbarrier::arrive::one{}\n", group, rest);
    PtxRunner runner("sm_100a");
    EXPECT_NO_THROW(runner.Load(runner.Text("", body + "ret;"))) << group;
  }
}

std::string ErrorOf(const std::string& body, const Words& words, int group = 1, std::uint64_t seed = 1) {
  RunOptions options;
  options.seed = seed;
  try {
    Launch(body, words, group, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(EmulatorTensorProduct, WhatIsNotWaitedForIsFound) {
  const ProductCase t{"f16", "bf16", "bf16", "f32", 128, 32};
  const ProductRun run(t);
  ProductCase in_memory = t;
  in_memory.a_in_memory = true;
  const ProductRun with_a(in_memory);
  const std::string start = TensorPrologue(512) + Fill(1), end = Results(t, 32) + TensorEpilogue(512);
  const std::string filled = start + "bar.sync 0;\n", product = run.Multiply("!%yes"), wait = CommitAndWait(1);
  const std::string late = "V: mbarrier.try_wait.parity.shared.b64 %p, [%bar], 0; @!%p bra V;\n";
  const std::string commit = wait.substr(0, wait.find("W:"));
  const struct {
    const char* name;
    std::string before, bug, fix, after, report;
  } cases[] = {
      {"no wait for the product", filled + product, commit, wait, end,
       "read before the asynchronous operation completed: tensor memory.*the other is `@%issues "
       "tcgen05.mma|uninitialised"},
      {"a commit before the product", filled, commit + product, product + commit, wait.substr(commit.size()) + end,
       "read before the asynchronous operation completed: tensor memory|has ended|deadlock"},
      {"adding to what nobody wrote", filled, run.Multiply("%yes"), product, wait + end,
       "tcgen05.mma.*uninitialised read: tensor memory"},
      {"no fence before the product",
       start.substr(0, start.rfind("fence.proxy.async;")) + start.substr(start.rfind("fence.proxy.async;") + 18),
       "bar.sync 0;\n", "fence.proxy.async; bar.sync 0;\n", product + wait + end, "missing fence.proxy.async"},
      {"writing over a factor", filled + product + commit, "", wait.substr(commit.size()),
       "@%one st.shared.b32 [tile], %t;\n" + late + end,
       "overwrite of what an asynchronous operation still uses: shared"},
      {"storing over D", filled + product + commit, "", wait.substr(commit.size()),
       "tcgen05.st.sync.aligned.32x32b.x1.b32 [%q], {%t}; tcgen05.wait::st.sync.aligned;\n" + late + end,
       "overwrite of what an asynchronous operation still uses: tensor memory"},
      {"no wait for the stores of A", filled + with_a.LoadA().substr(0, with_a.LoadA().find("tcgen05.wait")), "",
       "tcgen05.wait::st.sync.aligned;\n", "bar.sync 0;\n" + with_a.Multiply("!%yes") + wait + end,
       "read before the asynchronous operation completed: tensor memory.*the other is `tcgen05.st"},
      {"the next product before the loads have ended",
       filled + product + wait + ".reg .b32 %e; tcgen05.ld.sync.aligned.32x32b.x1.b32 {%e}, [%q];\n", "",
       "tcgen05.wait::ld.sync.aligned;\n",
       "bar.sync 0;\n" + product + commit + "V: mbarrier.try_wait.parity.shared.b64 %p, [%bar], 1; @!%p bra V;\n" + end,
       "tcgen05.mma.*overwrite of what an asynchronous.*the other is `tcgen05.ld"},
      {"ending before the product", filled + product + commit, "", wait.substr(commit.size()), TensorEpilogue(512),
       "tcgen05.dealloc.*overwrite of what an asynchronous"},
  };
  for (const auto& test : cases)
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      const Words& words = with_a.words;
      ASSERT_THAT(ErrorOf(test.before + test.bug + test.after, words, 1, seed), ContainsRegex(test.report))
          << test.name << ", seed " << seed;
      ASSERT_EQ(ErrorOf(test.before + test.fix + test.after, words, 1, seed), "") << test.name << ", seed " << seed;
    }
}

TEST(EmulatorTensorProduct, PairsOfCtasAllocateAndFreeTogether) {
  const std::string start =
      ".shared .align 4 .b32 slot; .reg .b32 %t, %w, %tm, %rank, %n; .reg .pred %first, %odd; mov.u32 %t, %tid.x; "
      "shr.u32 "
      "%w, %t, 5; setp.eq.u32 %first, %w, 0; mov.u32 %rank, %cluster_ctarank; setp.eq.u32 %odd, %rank, 1; selp.u32 %n, "
      "64, 128, %odd;\n";
  const auto alloc = [](const char* who, const char* columns) {
    return fmt::format("@{} tcgen05.alloc.cta_group::2.sync.aligned.shared::cta.b32 [slot], {};\n", who, columns);
  };
  const std::string load = "bar.sync 0; ld.shared.b32 %tm, [slot];\n";
  const std::string free = "@%first tcgen05.dealloc.cta_group::2.sync.aligned.b32 %tm, 64;\n";
  const Words words(16);
  EXPECT_EQ(ErrorOf(start + alloc("%first", "64") + load + free + "ret;", words, 2), "");
  EXPECT_THAT(ErrorOf(start + "setp.eq.and.u32 %first, %rank, 1, %first;\n" + alloc("%first", "64") + "ret;", words, 2),
              AllOf(HasSubstr("deadlock"), HasSubstr("a warp of the other CTA of its pair")));
  EXPECT_THAT(ErrorOf(start + alloc("%first", "%n") + "ret;", words, 2), HasSubstr("with other operands"));
  EXPECT_THAT(ErrorOf(start + alloc("%first", "512") + alloc("%first", "32") + "ret;", words, 2),
              AllOf(HasSubstr("deadlock"), HasSubstr("free columns of tensor memory")));
}

TEST(EmulatorTensorProduct, MisuseIsAnError) {
  const auto error = [](ProductCase t, const std::string& extra = "") {
    const ProductRun run(t);
    return ErrorOf(TensorPrologue(512, t.group) + Fill(t.group) + Sync(t.group) + extra + run.Multiply("!%yes") +
                       CommitAndWait(t.group) + Sync(t.group) + TensorEpilogue(512, t.group),
                   run.words, t.group);
  };
  const ProductCase good{"f16", "bf16", "bf16", "f32", 128, 32};
  EXPECT_EQ(error(good), "");
  ProductCase t = good;
  t.m = 256;
  EXPECT_THAT(error(t), HasSubstr("m is 64 or 128 for one CTA"));
  t = {"i8", "s8", "s8", "s32", 128, 40};
  EXPECT_THAT(error(t), AllOf(HasSubstr("m128n40"), HasSubstr("n is no multiple of 16")));
  t = {"tf32", "tf32", "tf32", "f32", 128, 32, 128, 128, true};
  EXPECT_THAT(error(t), HasSubstr("32-byte atoms"));
  t = {"f8f6f4", "e4m3", "e4m3", "f32", 128, 24, 128, 32, false, true};
  EXPECT_THAT(error(t), HasSubstr("multiples of 16"));
  t = good;
  t.lane = 16;
  EXPECT_THAT(error(t), HasSubstr("D begins at lane 16, not at 0"));
  EXPECT_THAT(error(good, "add.u32 %tm, %tm, 500;"), HasSubstr("which has 128 lanes of 512 columns"));
  EXPECT_THAT(error({"f16", "f16", "f16", "s32", 128, 32}), HasSubstr("accumulator format 2"));
  EXPECT_THAT(error({"f16", "bf16", "f16", "f16", 128, 32}), HasSubstr("sums in f16 take factors in f16"));
  EXPECT_THAT(error({"i8", "s8", "s8", "s32", 128, 32, 128, 128, false, false, 1, false, true}),
              HasSubstr("negates no"));
  const ProductRun run(good);
  const auto refusal = [&](const std::string& text) {
    return ErrorOf(TensorPrologue(32) + Fill(1) + text + TensorEpilogue(32), run.words);
  };
  EXPECT_THAT(refusal("tcgen05.mma.ws.cta_group::1.kind::f16 [%tm], 0, 0, 0, %p;"),
              AllOf(HasSubstr("ptx:"), HasSubstr("no form of tcgen05")));
  EXPECT_THAT(refusal("tcgen05.mma.cta_group::1.kind::mxf4.block_scale [%tm], 0, 0, 0, [%tm], [%tm], %p;"),
              HasSubstr("no form of tcgen05"));
  EXPECT_THAT(refusal("tcgen05.mma.cta_group::1.kind::i8 [%tm], 0, 0, 0, %p, 1;"), HasSubstr("scale-input-d"));
}

}  // namespace
}  // namespace gemmsmith::emulator
