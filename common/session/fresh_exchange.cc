#include "common/session/fresh_exchange.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace dotagent::session {
namespace {

absl::Status Misplaced(absl::string_view what) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kProtocol, absl::StrCat("the peer sent a ", what));
}

std::string Encode(FrameType frame, absl::string_view key) {
  return absl::StrCat(std::string(1, static_cast<char>(frame)), key);
}

}  // namespace

std::optional<FrameType> FreshExchange::Due(absl::Time now) const {
  switch (stage_) {
    case Stage::kIdle:
      if (role_ == Role::kDialler && now - last_ >= interval_) return FrameType::kFreshOffer;
      return std::nullopt;
    case Stage::kToAnswer:
      return FrameType::kFreshAnswer;
    case Stage::kToFinish:
      return FrameType::kFreshDone;
    case Stage::kOffered:
    case Stage::kAnswered:
      return std::nullopt;
  }
  return std::nullopt;
}

std::string FreshExchange::Take(FrameType frame, absl::Time now) {
  since_ = now;
  if (frame == FrameType::kFreshOffer) {
    stage_ = Stage::kOffered;
    key_.emplace(crypto::DhKey::Generate(*random_));
    return Encode(frame, key_->public_bytes());
  }
  if (frame == FrameType::kFreshAnswer) {
    stage_ = Stage::kAnswered;
    return Encode(frame, std::exchange(answer_, std::string()));
  }
  return Encode(frame, "");
}

absl::Status FreshExchange::Receive(absl::string_view* in, absl::Time now) {
  const auto frame = static_cast<FrameType>(in->front());
  in->remove_prefix(1);
  if (frame == FrameType::kFreshDone) {
    if (stage_ != Stage::kAnswered) return Misplaced("FRESH_DONE without an exchange of keys");
    return absl::OkStatus();
  }
  if (in->size() < crypto::DhKey::kSize) return Misplaced("frame with a fresh key that is cut short");
  const absl::string_view theirs = in->substr(0, crypto::DhKey::kSize);
  in->remove_prefix(crypto::DhKey::kSize);
  if (frame == FrameType::kFreshOffer) {
    if (role_ == Role::kDialler || stage_ != Stage::kIdle)
      return Misplaced("FRESH_OFFER out of turn: the dialler makes one, when the last one is over");
    if (now - last_ < interval_ / 2)
      return Misplaced(absl::StrCat("FRESH_OFFER ", absl::FormatDuration(now - last_), " after the last"));
    key_.emplace(crypto::DhKey::Generate(*random_));
    answer_ = std::string(key_->public_bytes());
    stage_ = Stage::kToAnswer;
  } else {
    if (stage_ != Stage::kOffered) return Misplaced("FRESH_ANSWER without an offer");
    stage_ = Stage::kToFinish;
  }
  since_ = now;
  ASSIGN_OR_RETURN(secret_, key_->Agree(theirs));
  key_.reset();
  return absl::OkStatus();
}

void FreshExchange::FinishIfDone(FrameType frame, absl::Time now) {
  if (frame != FrameType::kFreshDone) return;
  secret_.reset();
  stage_ = Stage::kIdle;
  last_ = now;
}

absl::Status FreshExchange::CheckPeer(absl::Time now) const {
  const bool waits = stage_ == Stage::kOffered || stage_ == Stage::kAnswered;
  const bool late = waits ? now - since_ > interval_
                          : stage_ == Stage::kIdle && role_ == Role::kListener && now - last_ > 2 * interval_;
  if (!late) return absl::OkStatus();
  return ErrorWithReason(absl::StatusCode::kResourceExhausted, reason::kLimit,
                         absl::StrCat("the peer has not exchanged fresh keys for ", absl::FormatDuration(now - last_),
                                      "; that is due every ", absl::FormatDuration(interval_)));
}

absl::Time FreshExchange::NextTimeout() const {
  return role_ == Role::kDialler && stage_ == Stage::kIdle ? last_ + interval_ : absl::InfiniteFuture();
}

}  // namespace dotagent::session
