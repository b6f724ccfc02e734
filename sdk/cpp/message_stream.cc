#include "sdk/cpp/message_stream.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/base/varint.h"

namespace dotagent::sdk {
namespace {

constexpr size_t kRead = 64 * 1024;

absl::Status BadMessage(absl::string_view problem) {
  return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kBadMessage,
                         absl::StrCat("a message of the stream ", problem));
}

}  // namespace

absl::Status MessageStream::Send(const record::Json& content) { return Write(content, ""); }

absl::Status MessageStream::SendAttachment(absl::string_view attachment, absl::string_view media_type) {
  return Write(record::AttachmentContent(media_type, attachment), attachment);
}

absl::Status MessageStream::Write(const record::Json& content, absl::string_view attachment) {
  ASSIGN_OR_RETURN(const record::Message message, record::Message::Sign({.id = record::NewMessageId(random_),
                                                                         .type = record::MessageType::kStream,
                                                                         .sender = own_,
                                                                         .recipient = peer_,
                                                                         .timestamp = absl::Now(),
                                                                         .content = content},
                                                                        gateway_->key()));
  RETURN_IF_ERROR(message.CheckAttachment(attachment));
  return channel_->Write(absl::StrCat(WithLength(message.json()), WithLength(attachment)));
}

absl::StatusOr<std::optional<StreamedMessage>> MessageStream::Next() {
  RETURN_IF_ERROR(broken_);
  absl::StatusOr<std::optional<StreamedMessage>> next = Read();
  if (!next.ok()) {
    broken_ = next.status();
    Cancel();
  }
  return next;
}

absl::StatusOr<std::optional<StreamedMessage>> MessageStream::Read() {
  ASSIGN_OR_RETURN(const std::optional<std::string> json, ReadPart(record::kMaxMessageSize));
  if (!json) return std::nullopt;
  ASSIGN_OR_RETURN(record::Message message, record::Message::Verify(*json, channel_->peer_key(), absl::Now()));
  RETURN_IF_ERROR(Check(message));
  ASSIGN_OR_RETURN(std::optional<std::string> attachment, ReadPart(record::kMaxAttachmentSize));
  if (!attachment) return absl::DataLossError("the stream was cut off before a message's attachment");
  RETURN_IF_ERROR(message.CheckAttachment(*attachment));
  return StreamedMessage{std::move(message), *std::move(attachment)};
}

absl::Status MessageStream::Check(const record::Message& message) const {
  if (message.type() != record::MessageType::kStream) {
    return BadMessage(absl::StrCat("is of type ", record::MessageTypeName(message.type()), ", not STREAM"));
  }
  if (message.sender().text() != peer_ || message.recipient().text() != own_) {
    return BadMessage(absl::StrCat("is from ", message.sender().text(), " to ", message.recipient().text(),
                                   ", not from ", peer_, " to ", own_));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> MessageStream::ReadPart(size_t max) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<Varint> length, ReadVarint(read_));
    if (length && length->value > max) {
      return ErrorWithReason(absl::StatusCode::kInvalidArgument, reason::kTooLarge,
                             absl::StrCat("a message of the stream has a part of ", length->value, " bytes; at most ",
                                          max, " are allowed"));
    }
    if (length && read_.size() - length->size >= length->value) {
      std::string part = read_.substr(length->size, length->value);
      read_.erase(0, length->size + length->value);
      return part;
    }
    ASSIGN_OR_RETURN(const bool more, ReadMore());
    if (more) continue;
    if (read_.empty()) return std::nullopt;
    return absl::DataLossError("the stream was cut off in the middle of a message");
  }
}

absl::StatusOr<bool> MessageStream::ReadMore() {
  ASSIGN_OR_RETURN(const std::string data, channel_->Read(kRead));
  read_ += data;
  return !data.empty();
}

}  // namespace dotagent::sdk
