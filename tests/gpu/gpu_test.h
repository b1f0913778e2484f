#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "../support/device_matrix.h"
#include "gemmsmith/gemmsmith.h"

namespace gemmsmith {

/// Tests on the first GPU. Skipped, with the reason, where there is none, or no compiler for its kernels.
class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    static const std::string reason = WhyNot();
    if (!reason.empty()) GTEST_SKIP() << reason;
  }

  /// One for the whole program, without a disk tier: what is tested is what is compiled now.
  static Engine& engine() {
    static EngineOptions options = [] {
      EngineOptions made;
      made.enable_disk = false;
      return made;
    }();
    static Engine engine(options);
    return engine;
  }
  static Device& device() { return engine().devices().Get(kGpu); }

  static constexpr DeviceId kGpu{DeviceKind::kCuda, 0};

 private:
  static std::string WhyNot() {
    if (const std::string status = engine().devices().CudaStatus(); !status.empty()) return status;
    try {
      engine().CompileAhead(MakeProblem(1, 1, 1), device().targets().front(), device().spec());
    } catch (const Error& error) {
      if (error.code() == Code::kNotFound) return error.what();
      throw;
    }
    return "";
  }
};

}  // namespace gemmsmith
