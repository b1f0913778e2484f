#include "runtime/emulator/machine/mbarrier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gemmsmith/error.h"

namespace gemmsmith::emulator {
namespace {

using ::testing::HasSubstr;
using Kind = Mbarriers::ArriveKind;

class EmulatorMbarrier : public ::testing::Test {
 protected:
  template <class Function>
  std::string ErrorOf(const Function& function) {
    try {
      function();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::kDevice);
      return error.what();
    }
    return "no error";
  }

  std::vector<std::byte> shared_ = std::vector<std::byte>(1024);
  Mbarriers barriers_{shared_};
};

TEST_F(EmulatorMbarrier, APhaseEndsWithItsLastArrival) {
  barriers_.Init(64, 3);
  const auto first = barriers_.Arrive(64);
  EXPECT_EQ(Mbarriers::PendingCount(first.state), 3u);
  EXPECT_FALSE(first.completed);
  EXPECT_FALSE(barriers_.TestWait(64, first.state));
  EXPECT_FALSE(barriers_.TestWaitParity(64, 0));
  EXPECT_TRUE(barriers_.TestWaitParity(64, 1));  // the phase before the first one: producers pass at once
  const auto last = barriers_.Arrive(64, 2);
  EXPECT_EQ(Mbarriers::PendingCount(last.state), 2u);
  EXPECT_TRUE(last.completed);
  EXPECT_TRUE(barriers_.TestWait(64, first.state));
  EXPECT_TRUE(barriers_.TestWaitParity(64, 0));
  EXPECT_FALSE(barriers_.TestWaitParity(64, 1));
  EXPECT_TRUE(barriers_.Arrive(64, 3).completed);
  EXPECT_TRUE(barriers_.TestWaitParity(64, 1));
}

TEST_F(EmulatorMbarrier, BytesHoldAPhaseOpen) {
  barriers_.Init(0, 1);
  EXPECT_FALSE(barriers_.Arrive(0, 1, Kind::kPlain, 4096).completed);
  EXPECT_FALSE(barriers_.CompleteTx(0, 4000));
  EXPECT_FALSE(barriers_.TestWaitParity(0, 0));
  EXPECT_TRUE(barriers_.CompleteTx(0, 96));
  EXPECT_TRUE(barriers_.TestWaitParity(0, 0));
  // Completed before it was expected, as long as an arrival is to come.
  EXPECT_FALSE(barriers_.CompleteTx(0, 128));
  EXPECT_FALSE(barriers_.ExpectTx(0, 128));
  EXPECT_TRUE(barriers_.Arrive(0).completed);
  EXPECT_EQ(barriers_.all()[0].phase, 2u);
  EXPECT_EQ(barriers_.all()[0].bytes, 0);
}

TEST_F(EmulatorMbarrier, DropsExpectFewerFromTheNextPhaseOn) {
  barriers_.Init(8, 3);
  barriers_.Arrive(8, 1, Kind::kDrop);
  EXPECT_FALSE(barriers_.Arrive(8).completed);
  EXPECT_TRUE(barriers_.Arrive(8).completed);
  barriers_.Arrive(8);
  EXPECT_TRUE(barriers_.Arrive(8).completed);
}

TEST_F(EmulatorMbarrier, AsynchronousCopiesMayAddTheirOwnArrival) {
  barriers_.Init(8, 1);
  barriers_.AddPending(8);
  EXPECT_FALSE(barriers_.Arrive(8).completed);
  EXPECT_TRUE(barriers_.Arrive(8).completed);
  EXPECT_EQ(barriers_.all()[0].pending, 1u);
}

TEST_F(EmulatorMbarrier, InvalidatedMemoryMayBecomeABarrierAgain) {
  barriers_.Init(8, 1);
  EXPECT_EQ(barriers_.IndexOf(8), 0u);
  barriers_.Init(16, 1);
  EXPECT_EQ(barriers_.IndexOf(16), 1u);
  barriers_.Invalidate(8);
  EXPECT_THAT(ErrorOf([&] { barriers_.Arrive(8); }), HasSubstr("no barrier was initialised at 0x8"));
  shared_[8] = std::byte{1};  // plain data meanwhile
  barriers_.Init(8, 2);
  EXPECT_FALSE(barriers_.Arrive(8).completed);
}

TEST_F(EmulatorMbarrier, MisuseIsAnError) {
  EXPECT_THAT(ErrorOf([&] { barriers_.Arrive(8); }), HasSubstr("no barrier was initialised"));
  EXPECT_THAT(ErrorOf([&] { barriers_.TestWaitParity(4096, 0); }), HasSubstr("no barrier was initialised"));
  EXPECT_THAT(ErrorOf([&] { barriers_.Init(12, 1); }), HasSubstr("address 0xc"));
  EXPECT_THAT(ErrorOf([&] { barriers_.Init(1024, 1); }), HasSubstr("address 0x400"));
  EXPECT_THAT(ErrorOf([&] { barriers_.Init(8, 0); }), HasSubstr("count 0"));
  EXPECT_THAT(ErrorOf([&] { barriers_.Init(8, 1 << 20); }), HasSubstr("count 1048576"));
  barriers_.Init(8, 2);
  EXPECT_THAT(ErrorOf([&] { barriers_.Init(8, 2); }), HasSubstr("in use"));
  EXPECT_THAT(ErrorOf([&] { barriers_.Arrive(8, 3); }), HasSubstr("3 arrivals at 0x8, where 2 of 2 are pending"));
  EXPECT_THAT(ErrorOf([&] { barriers_.Arrive(8, 0); }), HasSubstr("0 arrivals"));
  EXPECT_THAT(ErrorOf([&] { barriers_.TestWaitParity(8, 2); }), HasSubstr("parity 2"));
  EXPECT_THAT(ErrorOf([&] { barriers_.TestWait(8, 0); }), HasSubstr("none of phase 0"));
  EXPECT_THAT(ErrorOf([&] { barriers_.Arrive(8, 2, Kind::kNoComplete); }), HasSubstr("noComplete"));
}

TEST_F(EmulatorMbarrier, ArrivingTwiceWhereBytesHoldThePhaseIsAnError) {
  barriers_.Init(8, 1);
  barriers_.Arrive(8, 1, Kind::kPlain, 64);
  EXPECT_THAT(ErrorOf([&] { barriers_.Arrive(8); }), HasSubstr("where 0 of 1 are pending (phase 0, 64 bytes)"));
}

TEST_F(EmulatorMbarrier, ByteCountsHaveLimits) {
  barriers_.Init(8, 1);
  barriers_.ExpectTx(8, Mbarriers::kMaxCount);
  EXPECT_THAT(ErrorOf([&] { barriers_.ExpectTx(8, 1); }), HasSubstr("1 bytes more than 1048575"));
  barriers_.CompleteTx(8, Mbarriers::kMaxCount);
  barriers_.CompleteTx(8, Mbarriers::kMaxCount);
  EXPECT_THAT(ErrorOf([&] { barriers_.CompleteTx(8, 1); }), HasSubstr("1 bytes less than -1048575"));
}

TEST_F(EmulatorMbarrier, BytesThatNobodyCanExpectAnyMoreAreAnError) {
  barriers_.Init(8, 1);
  barriers_.Arrive(8, 1, Kind::kPlain, 64);
  EXPECT_THAT(ErrorOf([&] { barriers_.CompleteTx(8, 128); }), HasSubstr("64 bytes more than were expected"));
}

TEST_F(EmulatorMbarrier, StaleStatesAreAnError) {
  barriers_.Init(8, 1);
  const auto state = barriers_.Arrive(8).state;
  EXPECT_TRUE(barriers_.TestWait(8, state));
  barriers_.Arrive(8);
  EXPECT_THAT(ErrorOf([&] { barriers_.TestWait(8, state); }), HasSubstr("nor of the one before"));
}

TEST_F(EmulatorMbarrier, DataWrittenOverABarrierIsNoticed) {
  barriers_.Init(8, 1);
  shared_[9] ^= std::byte{4};
  EXPECT_THAT(ErrorOf([&] { barriers_.Arrive(8); }), HasSubstr("written over"));
}

}  // namespace
}  // namespace gemmsmith::emulator
