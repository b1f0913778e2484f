#include "jit/toolchain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace gemmsmith {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A folder in which tests lay out installations of empty files.
class Toolchain : public testing::Test {
 protected:
  Toolchain() {
    std::string folder = testing::TempDir() + "toolchain-XXXXXX";
    root_ = mkdtemp(folder.data());
  }
  ~Toolchain() override { fs::remove_all(root_); }
  std::string Touch(const std::string& name) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name).flush();
    return root_ / name;
  }

  fs::path root_;
};

TEST_F(Toolchain, LooksOnlyWhereItIsTold) {
  const std::string file = Touch("lib/libnvrtc.so.12"), nvcc = Touch("bin/nvcc");
  Environment environment;
  environment.cuda_home = root_;
  environment.nvrtc = file;
  EXPECT_THAT(SearchNvrtc(environment).candidates, ElementsAre(file));
  environment.nvrtc = root_ / "lib";
  EXPECT_THAT(SearchNvrtc(environment).candidates, ElementsAre(file));
  environment.nvrtc = root_ / "missing.so";
  EXPECT_THAT(SearchNvrtc(environment).candidates, IsEmpty());
  EXPECT_EQ(SearchNvrtc(environment).looked_in, environment.nvrtc);
  environment.nvcc = root_ / "missing";
  EXPECT_THAT(SearchNvcc(environment).candidates, IsEmpty());
  environment.nvcc = nvcc;
  EXPECT_THAT(SearchNvcc(environment).candidates, ElementsAre(nvcc));
}

TEST_F(Toolchain, PrefersTheToolkitThenWheelsThenTheLoader) {
  const std::string toolkit = Touch("cuda/lib64/libnvrtc.so.13"),
                    wheel = Touch("venv/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13"),
                    older = Touch("venv/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
  Environment environment;
  environment.cuda_home = root_ / "cuda";
  const char* before = std::getenv("VIRTUAL_ENV");
  const std::string kept = before != nullptr ? before : "";
  setenv("VIRTUAL_ENV", (root_ / "venv").c_str(), 1);
  const ToolSearch search = SearchNvrtc(environment);
  before != nullptr ? setenv("VIRTUAL_ENV", kept.c_str(), 1) : unsetenv("VIRTUAL_ENV");
  const auto position = [&](const std::string& file) {
    return std::find(search.candidates.begin(), search.candidates.end(), file) - search.candidates.begin();
  };
  EXPECT_EQ(position(toolkit), 0);
  EXPECT_LT(position(toolkit), position(wheel));
  EXPECT_LT(position(wheel), position(older));
  EXPECT_LT(position(older), position("libnvrtc.so.13"));
  EXPECT_LT(position("libnvrtc.so.13"), static_cast<std::ptrdiff_t>(search.candidates.size()));
  EXPECT_THAT(search.looked_in, HasSubstr("site-packages/nvidia/cu13/lib"));
}

TEST_F(Toolchain, FindsTheBuiltinsBesideNvrtc) {
  const std::string nvrtc = Touch("lib/libnvrtc.so.13"), builtins = Touch("lib/libnvrtc-builtins.so.13.0");
  Touch("lib/libnvrtc-builtins.alt.so.13.0");
  EXPECT_THAT(BuiltinsBeside(nvrtc), ElementsAre(builtins));
}

}  // namespace
}  // namespace gemmsmith
