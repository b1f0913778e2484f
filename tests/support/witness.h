#pragma once

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "emulated_gemm.h"
#include "util/private_folder.h"
#include "util/subprocess.h"

namespace gemmsmith::emulator {

struct WitnessShape {
  Dim3 grid{1, 1, 1}, block{32, 1, 1}, cluster{1, 1, 1};
};

/// Programs of tests/witnesses/: they instantiate what the CUDA toolkit's headers hold, so that the code that runs was
/// written by people who have never seen the emulator. The parameter is the target.
class Witness : public testing::TestWithParam<const char*> {
 protected:
  /// False where there is no nvcc, whose headers they are; `missing` then says so.
  bool Open(const std::string& file) {
    std::string nvcc;
    try {
      nvcc = OpenNvcc()->path();
    } catch (const Error& error) {
      missing = error.what();
      return false;
    }
    const PrivateFolder folder;
    const std::string out = folder.path() / "witness.ptx";
    const SubprocessResult result =
        RunSubprocess({nvcc, "-std=c++17", "-lineinfo", fmt::format("-arch={}", GetParam()), "-ptx", "-o", out,
                       fmt::format("{}/tests/witnesses/{}.cu", GEMMSMITH_SOURCE_DIR, file)},
                      std::chrono::seconds(240), {}, {"TMPDIR=" + folder.path().string()});
    EXPECT_EQ(result.exit_code, 0) << result.output;
    ptx_ = folder.Read("witness.ptx");
    EXPECT_FALSE(ptx_.empty());
    return true;
  }
  bool has_clusters() const { return ParseTarget(GetParam()).version >= 90; }

  /// Runs kernel(in, out, more...) and returns what is then in `out`, which starts as given.
  template <class In, class Out, class... More>
  std::vector<Out> Run(const std::string& kernel, WitnessShape shape, const std::vector<In>& in, std::vector<Out> out,
                       const More&... more) {
    const std::size_t out_bytes = out.size() * sizeof(Out);
    const auto state = MakeState(GetParam(), seed, check);
    const DeviceBytes from(state, in.size() * sizeof(In)), to(state, out_bytes);
    std::memcpy(from.as<std::byte>(), in.data(), in.size() * sizeof(In));
    std::memcpy(to.as<std::byte>(), out.data(), out_bytes);
    Launch(state, kernel, shape, from.as<void>(), to.as<void>(), more...);
    std::memcpy(out.data(), to.as<std::byte>(), out_bytes);
    return out;
  }

  template <class... Arguments>
  void Launch(const std::shared_ptr<DeviceState>& state, const std::string& kernel, WitnessShape shape,
              const Arguments&... arguments) {
    const void* pointers[] = {&arguments...};
    void* args[sizeof...(arguments)];
    for (std::size_t i = 0; i < sizeof...(arguments); ++i) args[i] = const_cast<void*>(pointers[i]);
    LoadPtx(state, ptx_, kernel)->Launch(shape.grid, shape.block, shape.cluster, 0, args, {});
  }

  /// Below `limit`; all 32 bits where that is 0.
  std::vector<std::uint32_t> Draw(std::size_t count, std::uint32_t limit = 0) {
    std::vector<std::uint32_t> words(count);
    for (std::uint32_t& word : words) {
      word = static_cast<std::uint32_t>(random_());
      if (limit != 0) word %= limit;
    }
    return words;
  }
  double DrawBetween(double low, double high) { return std::uniform_real_distribution<double>(low, high)(random_); }

  std::string missing;
  std::uint64_t seed = 1;  ///< Of the schedule.
  bool check = true;       ///< See RunOptions.

 private:
  std::string ptx_;
  std::mt19937_64 random_{2024};
};

inline std::string TargetName(const testing::TestParamInfo<const char*>& info) { return info.param; }

}  // namespace gemmsmith::emulator
