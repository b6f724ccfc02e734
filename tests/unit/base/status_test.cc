#include "common/base/status.h"

#include <gtest/gtest.h>

#include <memory>

namespace dotagent {
namespace {

absl::Status Taken() {
  return ErrorWithReason(absl::StatusCode::kAlreadyExists, reason::kNameTaken, "bob.agent is taken");
}

TEST(StatusTest, ReasonIsKeptBesideCodeAndMessage) {
  EXPECT_EQ(Taken().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Taken().message(), "bob.agent is taken");
  EXPECT_EQ(ReasonOf(Taken()), "NAME_TAKEN");
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), "");
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "");
}

TEST(StatusTest, ContextGoesBeforeTheMessage) {
  const absl::Status status = WithContext(Taken(), "register");
  EXPECT_EQ(status.message(), "register: bob.agent is taken");
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(status), "NAME_TAKEN");
  EXPECT_TRUE(WithContext(absl::OkStatus(), "register").ok());
}

absl::StatusOr<std::unique_ptr<int>> Make(bool ok) {
  if (!ok) return Taken();
  return std::make_unique<int>(7);
}

absl::StatusOr<int> Use(bool ok) {
  ASSIGN_OR_RETURN(const std::unique_ptr<int> made, Make(ok));
  RETURN_IF_ERROR(absl::OkStatus());
  return *made;
}

TEST(StatusTest, MacrosMoveValuesAndPassErrorsOn) {
  EXPECT_EQ(*Use(true), 7);
  EXPECT_EQ(Use(false).status(), Taken());
}

}  // namespace
}  // namespace dotagent
