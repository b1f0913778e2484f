#include "gemmsmith/target.h"

#include <gtest/gtest.h>

#include "../support/cache_testing.h"
#include "gemmsmith/error.h"
#include "gemmsmith/tensor.h"

namespace gemmsmith {
namespace {

TEST(Target, NamesRoundTripAndSuffixesDiffer) {
  for (const CodeTarget& target : AllTargets()) EXPECT_EQ(ParseTarget(ToString(target)), target);
  EXPECT_NE(ParseTarget("sm_90"), ParseTarget("sm_90a"));
}

// Before other tests have heard the warnings.
TEST(Target, WithoutADeviceOfItsOwnATargetIsReckonedAsTheNewestBeforeIt) {
  const testing::Warnings warnings;
  const std::pair<const char*, const char*> cases[] = {{"sm_87", "rtx3090"}, {"sm_88", "rtx3090"},
                                                       {"sm_103", "b200"},   {"sm_103a", "b200"},
                                                       {"sm_110", "b200"},   {"sm_121a", "rtx5090"}};
  for (const auto& [target, row] : cases) {
    EXPECT_EQ(DefaultDeviceSpec(ParseTarget(target)).name, row) << target;
    DefaultDeviceSpec(ParseTarget(target));
  }
  DefaultDeviceSpec(ParseTarget("sm_90a"));
  std::size_t of_sm_88 = 0;
  for (const std::string& message : warnings.messages()) {
    EXPECT_NE(message.find("reckoning with"), message.npos);
    of_sm_88 += message.find("sm_88") != message.npos && message.find("rtx3090") != message.npos;
  }
  EXPECT_EQ(of_sm_88, 1u) << "once, naming both";
  EXPECT_EQ(warnings.messages().size(), std::size(cases));
}

TEST(Target, UnknownNamesAreRefusedWithTheList) {
  for (const char* name : {"sm_91", "sm90", "", "SM_90A", "x86"}) {
    try {
      ParseTarget(name);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("sm_90a"), std::string::npos);
    }
  }
  EXPECT_THROW(FindDeviceSpec("h9000"), Error);
}

TEST(Target, EveryCudaTargetHasADeviceToReckonWith) {
  for (const CodeTarget& target : AllTargets()) {
    if (target.isa != Isa::kCuda) continue;
    EXPECT_GT(DefaultDeviceSpec(target).PeakGflops(DType::kF32), 0) << ToString(target);
  }
  EXPECT_EQ(DefaultDeviceSpec(ParseTarget("sm_90a")).name, "h200");
  EXPECT_EQ(DefaultDeviceSpec(ParseTarget("sm_80")).name, "a100");
}

TEST(Target, PeaksAreTheDatasheets) {
  EXPECT_NEAR(FindDeviceSpec("a100").PeakGflops(DType::kF32), 19.5e3, 100);
  EXPECT_NEAR(FindDeviceSpec("a100").PeakGflops(DType::kF64), 9.7e3, 100);
  EXPECT_NEAR(FindDeviceSpec("t4").PeakGflops(DType::kF32), 8.1e3, 100);
}

TEST(DeviceIds, AreReadStrictly) {
  EXPECT_EQ(ParseDeviceId("cpu"), DeviceId{});
  EXPECT_EQ(ParseDeviceId("cuda"), (DeviceId{DeviceKind::kCuda, 0}));
  EXPECT_EQ(ToString(ParseDeviceId("cuda:3")), "cuda:3");
  for (const char* bad : {"cuda:", "cuda:x", "cuda:-1", "cuda:256", "emulator:sm_1", "gpu", "cpu:0", ""})
    EXPECT_THROW(ParseDeviceId(bad), Error) << bad;
}

}  // namespace
}  // namespace gemmsmith
