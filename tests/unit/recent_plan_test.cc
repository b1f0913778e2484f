#include "engine/recent_plan.h"

#include <gtest/gtest.h>

#include <memory>

namespace gemmsmith {
namespace {

class RecentPlanTest : public testing::Test {
 protected:
  RecentPlan::Key Key(const SmSetting& setting) const { return {call_, weight_, setting}; }
  static std::unique_ptr<Plan> PlanOf(const GemmProblem& problem) {
    auto plan = std::make_unique<Plan>();
    plan->problem = problem;
    return plan;
  }

  float data_[48] = {};
  Tensor input_{data_, {4, 4}}, weight_{data_ + 16, {4, 4}}, output_{data_ + 32, {4, 4}};
  ForwardCall call_{input_, weight_, output_,     false,       false,       false,      1,
                    0,      0,       DType::kF32, DType::kF32, DType::kF32, DType::kF32};
  SmSetting setting_{{}};
  RecentPlan recent_;
};

TEST_F(RecentPlanTest, FindsWhatWasKeptWhereverTheTensorsLie) {
  EXPECT_EQ(recent_.Find(Key(setting_)), nullptr);
  const std::unique_ptr<Plan> plan = PlanOf({});
  recent_.Keep(Key(setting_), *plan);
  EXPECT_EQ(recent_.Find(Key(setting_)), plan.get());
  std::swap(input_.data, output_.data);
  EXPECT_EQ(recent_.Find(Key(setting_)), plan.get());
  input_.data = data_ + 36;
  EXPECT_EQ(recent_.Find(Key(setting_)), plan.get());
  output_.data = data_ + 21;  // The last row is the input's first.
  EXPECT_EQ(recent_.Find(Key(setting_)), nullptr);
}

TEST_F(RecentPlanTest, APlanThatWasReplacedIsNotFound) {
  const Plan* const plan = setting_.plans.Insert(PlanOf({}));
  recent_.Keep(Key(setting_), *plan);
  const Plan* const other = setting_.plans.Replace(PlanOf({}));
  ASSERT_NE(other, plan);
  EXPECT_EQ(recent_.Find(Key(setting_)), nullptr);
  recent_.Keep(Key(setting_), *other);
  EXPECT_EQ(recent_.Find(Key(setting_)), other);
}

/// A key from before the replacement must not bring the old plan back.
TEST_F(RecentPlanTest, WhatWasReplacedMeanwhileIsNotKept) {
  const Plan* const plan = setting_.plans.Insert(PlanOf({}));
  const RecentPlan::Key before = Key(setting_);
  setting_.plans.Replace(PlanOf({}));
  recent_.Keep(before, *plan);
  EXPECT_EQ(recent_.Find(Key(setting_)), nullptr);
}

TEST_F(RecentPlanTest, AnotherNumberOfSmsHasPlansOfItsOwn) {
  const std::unique_ptr<Plan> plan = PlanOf({});
  recent_.Keep(Key(setting_), *plan);
  const SmSetting other{{}};
  EXPECT_EQ(recent_.Find(Key(other)), nullptr);
}

}  // namespace
}  // namespace gemmsmith
