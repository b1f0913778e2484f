#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "artifact.h"
#include "gemmsmith/device.h"
#include "runtime/emulator/device/emulator_device.h"
#include "util/log.h"

namespace gemmsmith::emulator {

/// By default one warp.
struct LaunchShape {
  Dim3 grid{1, 1, 1}, block{32, 1, 1};
  std::uint32_t shared_bytes = 0;
};

/// An emulated device, and PTX run on it.
class PtxRunner {
 public:
  explicit PtxRunner(std::string_view target = "sm_90a", const RunOptions& options = {})
      : target_(ParseTarget(target)), device_(MakeDevice(target_, options)) {}

  Device& device() { return *device_; }
  std::string Header() const { return fmt::format(".version 8.7\n.target {}\n.address_size 64\n", ToString(target_)); }

  std::shared_ptr<const Kernel> Load(const std::string& text, const std::string& kernel = "k") {
    Artifact artifact;
    artifact.parts["ptx"] = text;
    artifact.kernel_name = artifact.lowered_name = kernel;
    artifact.target = target_;
    return device_->Load(artifact);
  }

  /// A kernel `k` with the given parameters (comma list) and body.
  std::string Text(const std::string& parameters, const std::string& body, const std::string& before = "") const {
    return Header() + before + ".visible .entry k(" + parameters + ")\n{\n" + body + "\n}\n";
  }

  /// Kernels with one parameter, a pointer to `words`, which come back changed.
  std::vector<std::uint32_t> Run(const std::string& body, std::vector<std::uint32_t> words, LaunchShape shape = {},
                                 const std::string& before = "") {
    const Buffer buffer = device_->Allocate(words.size() * 4);
    std::memcpy(buffer.data(), words.data(), words.size() * 4);
    const void* pointer = buffer.data();
    void* args[] = {&pointer};
    const std::string start = ".reg .b64 %out; ld.param.u64 %out, [p];\n";
    Load(Text(".param .u64 p", start + body, before))
        ->Launch(shape.grid, shape.block, {}, shape.shared_bytes, args, {});
    std::memcpy(words.data(), buffer.data(), words.size() * 4);
    return words;
  }
  /// What running it throws; empty if nothing.
  std::string ErrorOf(const std::string& body, std::size_t words, LaunchShape shape = {},
                      const std::string& before = "") {
    try {
      Run(body, std::vector<std::uint32_t>(words), shape, before);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

 private:
  CodeTarget target_;
  std::unique_ptr<Device> device_;
};

/// An instruction over registers d, a, b, c of these types, and what it must give.
struct LaneCase {
  std::string text;                    ///< "add.s32 d, a, b;"
  std::array<const char*, 4> types{};  ///< Of d, a, b, c: "b32", or null where there is none; "pred" for d alone.
  std::uint64_t (*expected)(std::uint64_t a, std::uint64_t b, std::uint64_t c) = nullptr;
};

inline unsigned BitsOfType(const char* type) {
  return std::string_view(type) == "pred" ? 1 : static_cast<unsigned>(std::stoul(std::string(type).substr(1)));
}

/// Numbers that go to the corners often: zeros, ones, extremes, small ones.
inline std::uint64_t DrawOperand(std::mt19937_64& random) {
  switch (random() % 8) {
    case 0:
      return 0;
    case 1:
      return ~std::uint64_t{0};
    case 2:
      return std::uint64_t{1} << random() % 64;
    case 3:
      return random() % 64;
    case 4:
      return 0 - random() % 64;
    case 5:
      return std::uint64_t{0x8000000080008080};
    default:
      return random();
  }
}

/// Runs the case on 32 lanes with fresh inputs, some of them switched off, and compares lane by lane. `same` tells
/// whether two results are as good as each other; by default they must have the same bits.
inline void CheckLanes(PtxRunner& runner, const LaneCase& test, std::uint64_t seed,
                       std::uint64_t (*draw)(std::mt19937_64&) = DrawOperand,
                       bool (*same)(std::uint64_t, std::uint64_t) = nullptr) {
  std::mt19937_64 random(seed);
  std::string body =
      ".reg .b64 %at, %wide; .reg .pred on, q, v; .reg .b32 %lane, %m, %one; mov.u32 %lane, %laneid;\n"
      "mul.wide.u32 %wide, %lane, 40; add.u64 %at, %out, %wide; ld.global.u32 %m, [%at+32];\n"
      "setp.ne.u32 on, %m, 0; setp.ne.u32 q, %lane, %lane;\n";
  const char* names[] = {"d", "a", "b", "c"};
  for (int k = 0; k < 4; ++k) {
    const char* const type = test.types[static_cast<std::size_t>(k)];
    if (type == nullptr) continue;
    body += fmt::format(".reg .{} {};\n", type, names[k]);
    if (k > 0 || std::string_view(type) != "pred")
      body += fmt::format("ld.global.{} {}, [%at+{}];\n", type, names[k], 8 * k);
  }
  if (std::string_view(test.types[0]) == "pred") body += "setp.ne.u32 d, %lane, %lane;\n";
  body += "@on " + test.text + "\n";
  if (std::string_view(test.types[0]) == "pred")
    body += "selp.u32 %one, 1, 0, d; st.global.u32 [%at], %one;\n";
  else
    body += fmt::format("st.global.{} [%at], d;\n", test.types[0]);
  std::vector<std::uint32_t> words(32 * 10);
  for (std::uint32_t& word : words) word = 0;
  std::vector<std::array<std::uint64_t, 3>> inputs(32);
  for (std::size_t lane = 0; lane < 32; ++lane) {
    for (std::size_t k = 0; k < 3; ++k) {
      const char* const type = test.types[k + 1];
      std::uint64_t value = draw(random);
      if (type != nullptr && BitsOfType(type) < 64) value &= (std::uint64_t{1} << BitsOfType(type)) - 1;
      inputs[lane][k] = value;
      std::memcpy(&words[lane * 10 + 2 + 2 * k], &value, 8);
    }
    words[lane * 10 + 8] = seed % 2 == 0 || lane % 3 != 0;
  }
  const std::vector<std::uint32_t> out = runner.Run(body + "ret;", words);
  const unsigned bits = BitsOfType(test.types[0]);
  for (std::size_t lane = 0; lane < 32; ++lane) {
    std::uint64_t got = 0;
    std::memcpy(&got, &out[lane * 10], 8);
    std::uint64_t want =
        words[lane * 10 + 8] == 0 ? 0 : test.expected(inputs[lane][0], inputs[lane][1], inputs[lane][2]);
    if (bits < 64) want &= (std::uint64_t{1} << bits) - 1;
    const bool equal = got == want || (same != nullptr && same(got, want));
    ASSERT_TRUE(equal) << test.text << " lane " << lane << " seed " << seed
                       << fmt::format(": a={:#x} b={:#x} c={:#x} gives {:#x}, expected {:#x}", inputs[lane][0],
                                      inputs[lane][1], inputs[lane][2], got, want);
  }
}

}  // namespace gemmsmith::emulator
