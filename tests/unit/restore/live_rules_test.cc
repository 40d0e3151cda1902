#include "restore/live_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cryopod::restore {
namespace {

using criu::DeviceRule;
using criu::RuledDevice;
using ::testing::Contains;
using ::testing::IsSupersetOf;
using ::testing::Not;

TEST(LiveRulesOfTest, DevicesAreThoseThatARuntimeMakesAndThoseOfTheRequest) {
  LiveMounts live;
  live.devices = {{"/dev/sdb", 8, 16, true, 0660, 5, 6}};

  const criu::LiveRules rules = LiveRulesOf({}, live, {});

  EXPECT_EQ(rules.devices.size(), 7u);
  EXPECT_THAT(rules.devices, IsSupersetOf({RuledDevice{false, 1, 3, 0666, 0, 0},
                                           RuledDevice{false, 5, 0, 0666, 0, 0},
                                           RuledDevice{true, 8, 16, 0660, 5, 6}}));
}

TEST(LiveRulesOfTest, DevicesThatMayBeOpenedAreThoseOfTheRequestAndOfTheRuntime) {
  LiveMounts live;
  live.device_rules = {{false, "a", criu::kAnyDevice, criu::kAnyDevice, "rwm"},
                       {true, "b", 8, 16, "r"}};

  const criu::LiveRules rules = LiveRulesOf({}, live, {});

  EXPECT_EQ(rules.device_rules[0], live.device_rules[0]);
  EXPECT_EQ(rules.device_rules[1], live.device_rules[1]);
  EXPECT_THAT(rules.device_rules, Contains(DeviceRule{true, "c", 10, 200, "rwm"}));
  EXPECT_THAT(rules.device_rules,
              Not(Contains(DeviceRule{true, "b", criu::kAnyDevice, criu::kAnyDevice, "rwm"})));
}

}  // namespace
}  // namespace cryopod::restore
